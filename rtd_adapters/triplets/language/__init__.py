"""What rules and checks know of English captions: words by kind, articles, what stands together."""
