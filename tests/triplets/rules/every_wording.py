"""All that may be drawn where wordings are."""

from __future__ import annotations

from rtd_adapters.triplets.rules.wordings import conditioning


class Script:
    """Draws what it is told to, and the first of everything beyond."""

    def __init__(self, places):
        self.places, self.used = places, []

    def choice(self, options):
        place = self.places[len(self.used)] if len(self.used) < len(self.places) else 0
        self.used.append((place, len(options)))
        return options[place]

    def random(self):
        return self.choice((0.0, 0.99))

    def choices(self, options, weights):
        assert len(options) == len(weights) and min(weights) > 0
        return [self.choice(options)]


def every(*changes):
    """Each text that may be drawn, by the number of its mood."""
    found, places = {}, []
    while True:
        script = Script(places)
        text = conditioning(changes, script)
        found.setdefault(script.used[0][0], []).append(text)
        used = script.used
        while used and used[-1][0] + 1 == used[-1][1]:
            used.pop()
        if not used:
            return found
        places = [place for place, _ in used]
        places[-1] += 1
