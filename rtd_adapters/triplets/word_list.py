"""Common words of captions, for where spaCy is not installed."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


NOUNS = word_set(
    """
    airplane apple apron backpack bag ball banana baby balloon band bank barn basket bat bathtub
    beach bear beard bed bedroom bench bicycle bike bird blanket board boat book boot bottle bowl
    box boy branch bread bridge broccoli brush bucket building bus butterfly cabinet cake camera
    canoe cap car card carrot castle cat chair cheese chef child church city clock cloud coat
    coffee computer cookie couch counter cow cowboy crowd cup curtain cyclist dancer deck desert
    desk dirt dock dog doll donut door dress drink duck elephant farm fence field fire firefighter
    fish flag floor flower food football forest fork fountain fox frisbee fruit game garden giraffe
    girl glass glove goat grass guitar hammer hat hay helmet hill hockey horse hotel house hydrant
    ice island jacket jersey jet jungle kayak keyboard kitchen kite kitten knife lake lamp lane
    laptop leaf leash lemon lion lizard luggage machine man market meadow mirror monkey moon
    motorcycle mountain mouse mud musician net newspaper ocean orchestra oven owl painting pan panda
    park parrot path pear pen penguin person phone piano pier pig pillow pizza plane plant plate
    player playground pole police pond pool porch puppy purse rabbit raft railing rain ramp
    refrigerator restaurant ring river road robot rock rocket roof room rope rose runner sailboat
    salad sand sandwich scarf scooter screen sheep shelf ship shirt shoe shop sidewalk sign singer
    sink skateboard skateboarder skier skirt sky snow snowboard snowboarder soccer sofa soldier
    spoon squirrel stadium staircase statue stick stone store stove street suit suitcase sun
    sunflower surfboard surfer swan swimmer swing table tank taxi teacher teapot teddy television
    tennis tent tiger toddler toilet tomato tower toy track tractor traffic trail train tree truck
    trumpet tunnel turtle umbrella uniform valley van vase vegetable vest village violin wagon wall
    watch water waterfall wave whale wheel window wine wolf woman wood yard zebra
    circle disc square block triangle wedge pyramid star asterisk heart valentine diamond rhombus
    cross crucifix hoop hexagon crescent
    """
)
ADJECTIVES = word_set(
    """
    red crimson scarlet blue navy azure green emerald lime yellow golden orange amber tangerine
    purple violet lilac pink magenta brown chocolate chestnut white black grey gray silver beige
    sandy pale dark bright colorful colourful transparent
    small tiny little medium average large big huge tall short long wide narrow thin thick
    solid plain filled striped banded dotted spotted speckled outlined hollow empty full
    old young elderly new modern ancient antique rusty wooden metal plastic leather woollen wool
    cotton paper concrete brick stone steel marble
    wet dry dirty clean muddy dusty snowy sunny rainy cloudy foggy stormy icy frozen warm cold hot
    grassy rocky leafy tropical
    happy sad angry sleepy lonely smiling busy quiet crowded
    round flat curly straight sharp soft hard smooth rough fluffy furry hairy bald barefoot
    fancy formal casual open closed broken folded
    """
)
THINGS = word_set(
    """
    background foreground colour color look size hair eyes water ground air surface face head nose
    legs ears doors tile tiles cabinets appliances engine trunk rail rails clouds hills object
    objects area section piece item items light lights line lines display
    """
)
"""Nouns that have colours, sizes and the like, and are not to be swapped themselves."""
DETERMINERS = word_set(
    """
    a an the this these those some any no every each all both half either neither another
    one two three four five six seven eight nine ten
    """
)
VAGUE = word_set(
    """
    photo photograph picture image view shot drawing background foreground front back side top
    bottom middle center centre left right end part piece pair group couple bunch lot kind type
    sort way thing something someone anyone everyone other another same different many several few
    more most various such own next first second third last one two three single
    i'm it its s t
    """
)
"""Words that taggers call nouns and adjectives, but whose swap changes no picture."""
