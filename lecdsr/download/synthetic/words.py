"""Vocabulary of titles, categories and descriptions of the synthetic items.

Every theme has words for groceries (the first domain) and for tools (the second). The words differ but belong to the
same kind of cooking, so that a sentence encoder places the items of both near each other. Noun ``k`` of one domain
matches noun ``k`` of the other: a user who buys one soon needs the other. All brands are invented.
"""

from __future__ import annotations

from dataclasses import dataclass

FACETS = 6
BRANDS = 288


@dataclass(frozen=True)
class Theme:
    """A cuisine or craft; pairs hold the words of the first domain, then those of the second."""

    native: str
    shelves: tuple[str, str]
    words: tuple[tuple[str, ...], tuple[str, ...]]
    nouns: tuple[tuple[str, ...], tuple[str, ...]]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """A style: how an item is made or for whom; ``claims`` are sentences for a description."""

    words: tuple[tuple[str, ...], tuple[str, ...]]
    claims: tuple[tuple[str, ...], tuple[str, ...]]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


def _theme(
    native: str, shelves: str, groceries: str, grocery_nouns: str, tools: str, tool_nouns: str, uses: str
) -> Theme:
    grocery_shelf, tools_shelf = _words(shelves)
    nouns = (_words(grocery_nouns), _words(tool_nouns))
    return Theme(native, (grocery_shelf, tools_shelf), (_words(groceries), _words(tools)), nouns, _words(uses))


def _style(groceries: str, tools: str, grocery_claims: str, tool_claims: str) -> Style:
    return Style((_words(groceries), _words(tools)), (_words(grocery_claims), _words(tool_claims)))


THEMES = (
    _theme(
        "café crème", "Coffee|Coffee & Espresso",
        "Espresso Roast|Dark Roast Coffee|Arabica Coffee",
        "Whole Beans|Ground Blend|Capsules|Vanilla Syrup|Crema Sachets|Decaf Beans",
        "Espresso|Barista|Coffee Bar",
        "Burr Grinder|Tamper|Capsule Holder|Milk Frother|Portafilter Basket|Moka Pot",
        "pulling a morning espresso|making lattes at home|a proper coffee break",
    ),
    _theme(
        "抹茶", "Tea|Tea Accessories",
        "Matcha|Green Tea|Japanese Tea",
        "Ceremonial Powder|Loose Leaves|Tea Bags|Roasted Twig Tea|Blooming Tea Balls|Jasmine Pearls",
        "Tea Ceremony|Matcha Tea|Teahouse",
        "Bamboo Whisk|Teapot|Infuser|Tea Kettle|Tea Bowl|Tea Canister",
        "a quiet tea ceremony|steeping green tea|whisking matcha in the afternoon",
    ),
    _theme(
        "pain au levain", "Flour & Yeast|Bread Baking",
        "Sourdough|Bread Baking|Artisan Bread",
        "Bread Flour|Dry Yeast|Rye Starter|Malt Powder|Loaf Mix|Seed Topping",
        "Bread Baking|Sourdough Loaf|Baker's Bread",
        "Proofing Basket|Dough Scraper|Starter Crock|Scoring Lame|Loaf Pan|Baking Cloche",
        "baking a crusty loaf|weekend bread baking|keeping a sourdough starter",
    ),
    _theme(
        "barbacoa", "BBQ Sauces & Rubs|Grilling & Smoking",
        "Barbecue|BBQ Pit|Smokehouse BBQ",
        "Dry Rub|Hickory Sauce|Wood Chips|Brisket Injection|Rib Glaze|Mopping Sauce",
        "Barbecue Grill|BBQ Smoker|BBQ Grilling",
        "Meat Claws|Sauce Brush|Smoker Box|Injector Needle|Rib Rack|Grill Tongs",
        "smoking a brisket|grilling ribs in the backyard|a summer cookout",
    ),
    _theme(
        "ラーメン", "Noodles & Broth|Japanese Cookware",
        "Ramen|Japanese Noodle|Tonkotsu Ramen",
        "Noodles|Miso Broth|Bamboo Shoots|Shoyu Base|Chili Oil|Nori Topping",
        "Ramen|Noodle Soup|Japanese Noodle",
        "Noodle Strainer|Broth Pot|Chopstick Set|Soup Ladle|Oil Dropper|Ramen Bowl",
        "slurping a bowl of ramen|simmering broth for noodles|late-night noodle soup",
    ),
    _theme(
        "Gemüse eingelegt", "Pickles & Ferments|Fermenting Supplies",
        "Pickled|Fermented|Dill Brine",
        "Cucumbers|Pickling Spice|Sauerkraut|Kimchi Paste|Brine Mix|Pearl Onions",
        "Pickling|Fermentation|Kraut Making",
        "Glass Weights|Spice Ball|Cabbage Shredder|Fermenting Crock|Airlock Lids|Jar Tamper",
        "pickling cucumbers|fermenting vegetables in a jar|making sauerkraut and kimchi",
    ),
    _theme(
        "cóctel", "Cocktail Mixers|Bar Tools",
        "Cocktail|Cocktail Mixer|Margarita Cocktail",
        "Bitters|Sour Mix|Maraschino Cherries|Tonic Syrup|Rim Salt|Olive Garnish",
        "Cocktail Bar|Bartender|Mixology Cocktail",
        "Shaker|Citrus Press|Bar Spoon|Jigger|Rimming Tray|Garnish Picks",
        "mixing cocktails|happy hour at the home bar|shaking margaritas for guests",
    ),
    _theme(
        "pizza al taglio", "Pizza Ingredients|Pizza Tools",
        "Pizza|Neapolitan Pizza|Pizzeria Pizza",
        "Dough Flour|Tomato Sauce|Crust Mix|Pepperoni|Oregano Topping|Mozzarella Blend",
        "Pizza Oven|Pizza Baking|Pizzeria",
        "Baking Stone|Sauce Spoon|Peel|Wheel Cutter|Dough Docker|Pizza Screen",
        "baking pizza on a stone|family pizza night|stretching pizza dough",
    ),
    _theme(
        "寿司", "Sushi Ingredients|Sushi Tools",
        "Sushi|Japanese Sushi|Sashimi",
        "Rice|Nori Sheets|Rice Vinegar|Wasabi Paste|Pickled Ginger|Soy Dip",
        "Sushi Making|Maki Sushi|Sashimi",
        "Rice Tub|Rolling Mat|Rice Paddle|Grater Plate|Slicing Knife|Dipping Dish",
        "rolling sushi at home|a maki and sashimi dinner|seasoning sushi rice",
    ),
    _theme(
        "मसाला", "Indian Spices|Indian Cookware",
        "Indian Curry|Garam Masala|Tikka Curry",
        "Spice Powder|Simmer Sauce|Basmati Rice|Lentil Dal|Mango Chutney|Naan Mix",
        "Curry|Indian Kitchen|Indian Masala",
        "Spice Box|Karahi Pan|Rice Cooker Pot|Pressure Pot|Chutney Grinder|Roti Tawa",
        "cooking a fragrant curry|toasting Indian spices|a dal and naan supper",
    ),
    _theme(
        "maíz", "Mexican Food|Mexican Cookware",
        "Taco|Mexican|Salsa",
        "Tortillas|Seasoning Mix|Salsa Verde|Refried Beans|Masa Flour|Guacamole Mix",
        "Taco|Tortilla|Mexican Kitchen",
        "Taco Holder|Molcajete|Salsa Bowl|Bean Masher|Tortilla Press|Avocado Slicer",
        "taco night|pressing fresh tortillas|salsa and guacamole with friends",
    ),
    _theme(
        "pâte de cacao", "Chocolate & Candy Making|Candy Making Tools",
        "Chocolate|Cocoa Candy|Dark Chocolate",
        "Couverture Chips|Cocoa Butter|Candy Melts|Caramel Bits|Praline Paste|Cocoa Nibs",
        "Chocolate Making|Chocolatier|Candy Making",
        "Tempering Pot|Truffle Mold|Dipping Forks|Candy Thermometer|Piping Funnel|Melting Warmer",
        "tempering chocolate|making truffles and bonbons|homemade candy",
    ),
    _theme(
        "gâteau", "Cake Decorations|Cake Decorating Tools",
        "Birthday Cake|Cupcake|Cake Frosting",
        "Sprinkles|Fondant|Buttercream Mix|Food Coloring|Sponge Mix|Sugar Flowers",
        "Cake Decorating|Cupcake Baking|Cake Icing",
        "Turntable|Fondant Roller|Piping Tips|Icing Spatula|Springform Pan|Flower Cutters",
        "decorating a birthday cake|frosting cupcakes|piping icing roses",
    ),
    _theme(
        "açaí", "Smoothie Ingredients|Blending & Juicing",
        "Smoothie|Protein Smoothie|Superfood Juice",
        "Berry Powder|Whey Blend|Spinach Powder|Chia Seeds|Almond Milk Powder|Mango Puree",
        "Smoothie Blender|Smoothie|Juice & Shake",
        "Blender Cup|Shaker Bottle|Juice Strainer|Straw Set|Nut Milk Bag|Fruit Press",
        "blending a green smoothie|a protein shake after the gym|juicing fruit for breakfast",
    ),
    _theme(
        "crêpe", "Breakfast Mixes & Syrup|Griddles & Breakfast Tools",
        "Pancake|Belgian Waffle|Pancake Breakfast",
        "Buttermilk Mix|Maple Syrup|Waffle Batter|Blueberry Compote|Oat Flakes|Cinnamon Sugar",
        "Pancake Making|Waffle|Breakfast",
        "Griddle|Syrup Jug|Waffle Iron|Batter Dispenser|Egg Rings|Turner",
        "flipping pancakes|a slow Sunday breakfast|crisp golden waffles",
    ),
    _theme(
        "fromage", "Cheese & Charcuterie|Cheese Tools",
        "Cheese|Aged Cheese|Charcuterie",
        "Rennet Tablets|Cheese Culture|Cheddar Block|Fig Crackers|Salami Slices|Wax Coating",
        "Cheese|Charcuterie|Cheesemaking",
        "Curd Cutter|Cheese Press|Cheese Slicer|Serving Board|Cheese Knife|Aging Box",
        "a cheese and charcuterie board|making cheese at home|a wine and cheese evening",
    ),
    _theme(
        "più pasta", "Pasta & Sauces|Pasta Tools",
        "Pasta|Italian Pasta|Spaghetti",
        "Semolina Flour|Linguine|Marinara|Ravioli Filling|Basil Pesto|Lasagna Sheets",
        "Pasta|Spaghetti|Italian Kitchen",
        "Pasta Roller|Drying Rack|Sauce Pan|Ravioli Stamp|Herb Mill|Lasagna Dish",
        "rolling fresh pasta|a plate of spaghetti|Italian Sunday dinner",
    ),
    _theme(
        "palomitas", "Popcorn & Movie Snacks|Popcorn Poppers",
        "Popcorn|Movie Night Popcorn|Kettle Corn",
        "Kernels|Butter Salt|Cheddar Seasoning|Coconut Popping Oil|Caramel Glaze|Microwave Bags",
        "Popcorn Machine|Popcorn Maker|Theater Popcorn",
        "Stovetop Popper|Salt Shaker|Seasoning Scoop|Oil Pump|Popcorn Buckets|Microwave Bowl",
        "popping corn for movie night|theater popcorn at home|a big bowl of kettle corn",
    ),
    _theme(
        "glacé", "Ice Cream Toppings|Frozen Dessert Makers",
        "Ice Cream|Gelato|Sundae",
        "Base Powder|Hot Fudge|Waffle Cones|Cookie Crumble|Sorbet Mix|Strawberry Ripple",
        "Ice Cream|Gelato|Frozen Dessert",
        "Churning Bowl|Fudge Warmer|Cone Stand|Scoop|Popsicle Molds|Storage Tub",
        "churning ice cream|building sundaes|a scoop of gelato on a hot day",
    ),
    _theme(
        "Marmelade", "Jams & Preserves|Canning Supplies",
        "Strawberry Jam|Fruit Preserves|Jam Making",
        "Pectin|Gelling Sugar|Orange Slices|Raspberry Spread|Lemon Curd|Apple Butter",
        "Jam Canning|Fruit Preserving|Jelly & Jam",
        "Mason Jars|Jar Lifter|Canning Funnel|Jam Pot|Lid Wand|Food Mill",
        "canning jam|preserving summer fruit|a pantry of marmalade",
    ),
    _theme(
        "Weißbier", "Homebrew Ingredients|Homebrewing Equipment",
        "Craft Beer|Pale Ale Beer|Home Brewing",
        "Hop Pellets|Malt Extract|Ale Yeast|Stout Kit|Priming Sugar|Wheat Grain",
        "Beer Brewing|Homebrew Beer|Craft Brewery",
        "Hop Spider|Brew Kettle|Fermenter|Hydrometer|Bottle Capper|Grain Mill",
        "brewing ale at home|bottling a batch of beer|a homebrew weekend",
    ),
    _theme(
        "crudités", "Salad Dressings & Grains|Salad & Vegetable Tools",
        "Salad|Vegan|Raw Vegetable",
        "Balsamic Dressing|Quinoa|Crouton Crunch|Sprouting Seeds|Tahini Dressing|Olive Oil",
        "Salad|Vegetable|Green Salad",
        "Dressing Shaker|Salad Spinner|Mandoline|Sprouting Tray|Salad Servers|Oil Mister",
        "tossing a crisp salad|raw vegetable lunches|growing sprouts on the sill",
    ),
    _theme(
        "炒锅", "Chinese Cooking Sauces|Woks & Steamers",
        "Chinese Stir-Fry|Szechuan|Chinese Wok",
        "Oyster Sauce|Fried Rice Mix|Chili Crisp|Dumpling Wrappers|Sesame Oil|Bean Paste",
        "Chinese Wok|Stir-Fry Wok|Chinese Kitchen",
        "Carbon Wok|Wok Spatula|Cleaver|Dumpling Steamer|Wok Ring|Skimmer",
        "tossing a stir-fry|steaming dumplings|Chinese takeout at home",
    ),
    _theme(
        "marisquería", "Fish & Seafood|Seafood Tools",
        "Seafood|Crab Boil|Lobster",
        "Boil Seasoning|Clam Chowder|Smoked Salmon|Fish Breading|Tartar Sauce|Anchovy Fillets",
        "Seafood|Crab|Lobster",
        "Boil Pot|Oyster Knife|Fish Scaler|Fish Fryer|Shell Cracker|Fish Tweezers",
        "a crab and lobster boil|shucking oysters|frying fresh fish",
    ),
)  # fmt: skip

STYLES = (
    _style(
        "Organic|Natural Organic|Organically Grown", "Eco-Friendly|Organic & Natural|Eco Organic",
        "Grown without pesticides and certified organic.|Natural, with nothing artificial added.",
        "Made from sustainable, recycled material.|Kind to nature and free of plastic.",
    ),
    _style(
        "Budget|Value Price|Low-Cost Everyday", "Budget|Economy Value|Cheap & Basic",
        "An everyday price for a full pantry.|Great value for large families and small wallets.",
        "Does the job at a low price.|A simple, affordable helper for every day.",
    ),
    _style(
        "Professional Chef's|Restaurant Grade|Pro Foodservice", "Professional|Commercial Restaurant|Pro Chef",
        "The quality that restaurant chefs rely on.|Packed for professional kitchens.",
        "Built for the heavy use of professional kitchens.|Commercial strength for demanding chefs.",
    ),
    _style(
        "Travel|On-the-Go Travel|Camping", "Travel|Portable Camping|Backpacking",
        "Single portions for travel and camping.|Slips into a backpack and needs no refrigerator.",
        "Folds small for travel and camping.|Light enough to carry in a backpack.",
    ),
    _style(
        "Kids'|Fun for Kids|Children's", "Kids'|Kid-Safe|Junior Children's",
        "Colorful fun that children love.|Mild, playful and made for kids.",
        "Safe for small hands of young children.|Cheerful colors that let kids help in the kitchen.",
    ),
    _style(
        "Vintage|Old-Fashioned|Grandma's Heritage", "Vintage|Retro|Antique Heritage",
        "After an old family recipe.|The nostalgic taste of bygone days.",
        "A nostalgic look from the fifties.|Antique charm with an heirloom finish.",
    ),
)  # fmt: skip

VARIANTS = (
    _words("Classic|Mild|Bold|Sweet|Smoky|Spicy|Lightly Salted|Honey"),
    _words("Stainless Steel|Bamboo|Silicone|Cast Iron|Copper|Ceramic|Glass|Walnut"),
)
SIZES = (
    _words('8 oz|12 oz|16 oz|500 g|1 lb|2.5 lb|Pack of 3|Pack of 6|Pack of 12|3/4" Bites'),
    _words('Small|Large|Set of 2|Set of 4|58 mm|20 cm|8"|10"|12 Inch|1.5 Quart'),
)
OPENERS = _words("Made for|Ideal for|Everything you need for|A good choice for|Loved by people who enjoy|Designed for")
COMPANIONS = _words("Pair the|Use the|Combine the|Buy the")
ROOTS = _words(
    "Alder|Brack|Corvel|Drum|Elsin|Fennow|Gallow|Hask|Iver|Jorrin|Kestle|Lorn|Morrow|Nettle|Osk|Pelli|Quorn|Rave|Sable|"
    "Tarn|Umber|Vell|Wyck|Yarrel"
)
ENDINGS = _words("wick|by| & Finch|ston|élle|ora|more & Daughters|dale|ünd| & Thistle|field|omi")


def brand_names() -> tuple[str, ...]:
    """List all invented brands: every root with every ending."""
    return tuple(root + ending for root in ROOTS for ending in ENDINGS)
