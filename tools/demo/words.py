"""Word lists of the story grammar: characters, places, things."""

GIRLS = """Mia Lily Anna Rose Ella Zoe Lucy Nora Ruby Ivy Clara Molly Daisy Poppy Hazel Luna Tilly Maya
Alice Emma Sara Nina Olive Penny Wendy Kate June Bella Fern Pearl Willow Honey Amber Dora Greta Hanna
Iris Jenny Lena Millie""".split()
BOYS = """Tom Ben Max Leo Sam Finn Jack Oscar Toby Noah Milo Theo Hugo Felix Henry Oliver Charlie Eli
Pip Rusty Bruno Otto Jasper Archie Alfie Barney Casper Dexter Ernie Frank George Harry Ivan Kit Louis
Monty Ned Patch Rocky Teddy""".split()

# Each animal with the home it lives in.
ANIMALS = {
    "fox": "den", "rabbit": "burrow", "mouse": "hole", "bear": "cave", "cat": "cottage", "dog": "cottage",
    "frog": "pond", "duck": "nest", "owl": "hollow tree", "squirrel": "hollow tree", "hedgehog": "burrow",
    "mole": "tunnel", "badger": "burrow", "deer": "clearing", "wolf": "den", "turtle": "pond",
    "hamster": "hole", "otter": "den", "beaver": "lodge", "goat": "barn", "lamb": "barn", "pig": "barn",
    "pony": "barn", "horse": "barn", "cow": "barn", "donkey": "barn", "hen": "nest", "goose": "nest",
    "robin": "nest", "sparrow": "nest", "crow": "nest", "parrot": "nest", "penguin": "nest",
    "kitten": "basket", "puppy": "basket", "raccoon": "hollow tree", "skunk": "burrow", "lion": "cave",
    "tiger": "cave", "elephant": "clearing", "monkey": "hollow tree", "giraffe": "clearing",
    "zebra": "clearing", "panda": "cave", "koala": "hollow tree", "kangaroo": "clearing",
    "camel": "tent", "snail": "shell", "ant": "tunnel", "bee": "hive", "ladybug": "garden",
    "cricket": "garden", "lizard": "cave", "crab": "shell", "chicken": "nest", "sheep": "barn",
    "bat": "cave", "swan": "nest", "moose": "clearing", "llama": "barn",
}
# Other heroes, each with the home it lives in.
FIGURES = {
    "dragon": "cave", "robot": "workshop", "unicorn": "clearing", "dinosaur": "cave", "knight": "castle",
    "princess": "castle", "prince": "castle", "wizard": "tower", "witch": "tower", "pirate": "ship",
    "giant": "castle", "fairy": "hollow tree", "elf": "hollow tree", "monster": "cave", "king": "castle",
    "queen": "castle", "farmer": "farm", "baker": "bakery", "sailor": "ship", "painter": "cottage",
    "gardener": "cottage", "teacher": "cottage", "troll": "cave", "ghost": "castle", "snowman": "garden",
}
GENDERED = {"princess": "f", "witch": "f", "queen": "f", "fairy": "f", "hen": "f", "cow": "f",
            "prince": "m", "king": "m", "wizard": "m", "snowman": "m"}

TRAITS = "little young small brave clever kind shy curious cheerful gentle playful quiet busy happy lonely".split()
PLACES = """forest|meadow|village|valley|garden|park|farm|beach|hills|woods|mountains|river bank|field|
orchard|town|island|jungle|lake shore""".replace("\n", "").split("|")
PREPOSITIONS = {"farm": "on", "beach": "on", "island": "on", "river bank": "at", "lake shore": "at"}
# Spots, with their prepositions, where a thing can be hidden or somebody can be stuck.
SPOTS = """under a bush|behind a big rock|near the old bridge|inside a hollow log|under a pile of leaves|
by the stream|beside the wooden fence|at the foot of a tall tree|in the long grass|between two stones|
next to the well|behind the barn|at the edge of the pond|under the old oak""".replace("\n", "").split("|")
COLORS = "red blue green yellow golden silver purple orange white brown pink".split()
THINGS = """kite|ball|hat|drum|book|lantern|scarf|bell|boat|basket|whistle|blanket|map|key|button|ring|spoon|
umbrella|doll|wagon|cup|coat|flute|shell|balloon|ribbon|feather|box|mirror|clock|toy train|teddy bear|backpack|
paintbrush|watch|candle|marble|necklace|crown|puzzle""".replace("\n", "").split("|")
FOODS = """apples|berries|nuts|cookies|carrots|pears|cherries|plums|muffins|pancakes|grapes|peaches|
sandwiches|buns|strawberries""".replace("\n", "").split("|")
CAKES = "carrot cake|apple pie|berry pie|honey cake|cherry pie|nut cake|chocolate cake|plum pie".split("|")
PLANTS = "sunflower|pumpkin|apple tree|bean|rose|tulip|melon|carrot|tomato|cherry tree".split("|")
# Skills as (infinitive, present participle).
SKILLS = [("swim", "swimming"), ("sing", "singing"), ("dance", "dancing"), ("paint", "painting"),
          ("ride a bike", "riding a bike"), ("fly a kite", "flying a kite"), ("read", "reading"),
          ("bake bread", "baking bread"), ("climb trees", "climbing trees"), ("skate", "skating"),
          ("play the drum", "playing the drum"), ("play the flute", "playing the flute"),
          ("juggle", "juggling"), ("whistle", "whistling"), ("write", "writing"), ("row a boat", "rowing a boat"),
          ("jump rope", "jumping rope"), ("tie knots", "tying knots")]
# Fears as (fear, what helps, what the hero does in the end).
FEARS = [("the dark", "a small lamp", "saw that the shadows were only trees and chairs"),
         ("thunder", "a soft song", "counted the seconds between the flash and the boom"),
         ("deep water", "a wooden raft", "found that the water could hold {him} up"),
         ("high places", "a strong rope", "looked out and saw the whole valley"),
         ("loud noises", "a warm hat", "learned that the noise was only the old mill"),
         ("strangers", "a friendly wave", "found out that strangers can turn into friends"),
         ("spiders", "a magnifying glass", "saw how carefully the spider made its web"),
         ("the old bridge", "a steady hand", "felt that the boards were strong")]
# Things to build as (thing, material, part that falls).
BUILDS = [("tree house", "branches", "the ladder"), ("raft", "logs", "the mast"), ("snow fort", "snow", "the wall"),
          ("bridge", "stones", "the railing"), ("sand castle", "sand", "the tower"), ("bird house", "boards", "the roof"),
          ("go-cart", "old wheels", "the seat"), ("little house", "bricks", "the roof"), ("tent", "blankets", "the pole"),
          ("windmill", "planks", "the sails"), ("swing", "rope", "the seat")]
ELDERS = [("Grandma", "she"), ("Grandpa", "he"), ("the wise old owl", "she"), ("the old turtle", "he"),
          ("Mr. Brown", "he"), ("Mrs. Green", "she"), ("Aunt Rose", "she"), ("Uncle Bob", "he"),
          ("the old goat", "he"), ("the kind baker", "he"), ("the gardener", "she")]
