"""Do the tests have teeth? Small changes are made to the code, and tests must notice."""
