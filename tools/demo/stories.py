"""Short stories from a seeded grammar: a hero, a place, a problem, some dialogue and a resolution.

Each plot is a list of paragraphs of sentence templates (see grammar.py). A sentence that starts with '?'
is left out half of the time. Words that must stay the same throughout a story (names, the thing, the place) come
from one dict, so that stories are coherent. Everything else varies by choices in the templates.
"""

from demo import words as w
from demo.grammar import capital, expand, with_article

_PRONOUNS = {"m": {"he": "he", "him": "him", "his": "his"}, "f": {"he": "she", "him": "her", "his": "her"}}


def _person(rng, prefix, taken, kind=None, name=None, gender=None):
    """Returns the words for one character, under `prefix`, prefix_he/him/his, prefix_kind and so on."""
    if kind is None:
        roll = rng.random()
        if roll < 0.60:
            kind = rng.choice(list(w.ANIMALS))
        elif roll < 0.75:
            kind = rng.choice(list(w.FIGURES))
        else:
            kind = rng.choice(["girl", "boy"])
    gender = gender or {"girl": "f", "boy": "m"}.get(kind) or w.GENDERED.get(kind) or rng.choice("mf")
    while name is None or name in taken:
        name = rng.choice(w.GIRLS if gender == "f" else w.BOYS)
    taken.add(name)
    words = {prefix: name, f"{prefix}_kind": kind}
    for key, value in _PRONOUNS[gender].items():
        words[f"{prefix}_{key}"] = value
        words[f"{prefix}_{capital(key)}"] = capital(value)
    return words


def make_words(rng, **fixed):
    """Chooses the words of one story. `fixed` may set kind, name, gender, friend_kind, place, thing, color,
    skill (a pair of w.SKILLS) and food."""
    taken = set()
    words = _person(rng, "hero", taken, fixed.get("kind"), fixed.get("name"), fixed.get("gender"))
    for key in ("he", "him", "his", "He", "Him", "His"):
        words[key] = words[f"hero_{key}"]
    kind = words["hero_kind"]
    human = kind in ("girl", "boy")
    words["home"] = "house" if human else {**w.ANIMALS, **w.FIGURES}.get(kind, "house")
    # Children have children or animals as friends; all others have animals.
    friend_kind = fixed.get("friend_kind") or (
        rng.choice(["girl", "boy"]) if human and rng.random() < 0.6 else
        rng.choice([k for k in w.ANIMALS if k != kind]))
    words.update(_person(rng, "friend", taken, friend_kind))
    friend_human = friend_kind in ("girl", "boy")
    words["friend_full"] = words["friend"] if friend_human else f"{words['friend']} the {friend_kind}"
    words.update(_person(rng, "other", taken, rng.choice([k for k in w.ANIMALS if k not in (kind, friend_kind)])))
    elder, elder_he = rng.choice(w.ELDERS)
    words.update(elder=elder, Elder=capital(elder), elder_he=elder_he)
    words["trait"] = rng.choice(w.TRAITS)
    words["a_hero"] = with_article(f"{words['trait']} {kind}")
    words["a_friend"] = with_article(friend_kind)
    words["an_other"] = with_article(words["other_kind"])
    words["place"] = fixed.get("place") or rng.choice(w.PLACES)
    words["in_place"] = f"{w.PREPOSITIONS.get(words['place'], 'in')} the {words['place']}"
    words["spot1"], words["spot2"], words["spot3"] = rng.sample(w.SPOTS, 3)
    words["color"] = fixed.get("color") or rng.choice(w.COLORS)
    words["thing"] = fixed.get("thing") or rng.choice(w.THINGS)
    words["color_thing"] = f"{words['color']} {words['thing']}"
    words["a_thing"] = with_article(words["color_thing"])
    words["food"] = fixed.get("food") or rng.choice(w.FOODS)
    words["cake"] = rng.choice(w.CAKES)
    words["plant"] = rng.choice(w.PLANTS)
    words["a_plant"] = with_article(words["plant"])
    words["skill"], words["skilling"] = fixed.get("skill") or rng.choice(w.SKILLS)
    words["fear"], words["aid"], lesson = rng.choice(w.FEARS)
    words["fear_lesson"] = lesson.replace("{him}", words["him"])
    words["build"], words["parts"], words["hard_part"] = rng.choice(w.BUILDS)
    words["a_build"] = with_article(words["build"])
    return words


_OPEN = ("[Once upon a time, there was|Once there was|There once was|Long ago, there lived|One day, there was|"
         "In a far [land|valley], there lived] {a_hero} named {hero}.")
_HOME = ("[{hero} lived in a [small|cozy|warm|tidy|little|quiet] {home} near the {place}.|{He} lived near the {place}.|"
         "{His} home was a [small|cozy|little|warm] {home} by the {place}.|Every day, {he} played {in_place}.|"
         "{hero} lived with {his} family near the {place}.]")
_DAY = ("[One [sunny|bright|cold|windy|quiet|warm] [morning|day|afternoon]|[On|Early on] a [cool|fine|misty|sunny] "
        "[spring|summer|autumn|winter] [morning|day]|One day|The next [morning|day]]")
_HAPPY = ("[{hero} was very happy.|{hero} smiled a big smile.|{hero} felt warm inside.|{hero} laughed with joy.|"
          "{hero} jumped up and down.|That made {hero} very happy.]")
_END = ("[From that day on, {hero} and {friend} were best friends.|And they all lived happily.|That night, {hero} "
        "slept very well.|And that was the best day of all.|{hero} never forgot that day.|They went home [happy|tired but happy|"
        "together|singing a song].|The end.|And from then on, {he} was never [sad|lonely] again.|When the stars came "
        "out, {hero} went home and told {his} family all about it.]")
_THANKS = ("[\"Thank you, {friend},\" said {hero}.|\"Thank you so much!\" said {hero}.|{hero} gave {friend} a big hug.|"
           "\"You are a true friend,\" said {hero}.|\"I could not have done it without you,\" said {hero}.]")
_WELCOME = ("[\"That is what friends are for,\" said {friend}.|\"You are welcome,\" said {friend}.|\"I am glad I could "
            "help,\" said {friend} with a smile.|{friend} smiled back.|\"Any time!\" said {friend}.]")

# Maps a plot's name to (themes to ask for, words that a request may fix, paragraphs).
PLOTS = {
    "lost": (["losing something", "looking for a lost {thing}", "a lost {thing}"], ("kind", "thing", "place"), [
        [_OPEN, _HOME, "{hero} had {a_thing}[ and loved it very much|. It was {his} favorite thing|. {elder} had given it to {him}]."],
        [_DAY + ", {hero} [went to the {place} with|took|carried] the {thing}[ and played all day|, but {he} put it down and forgot it| and walked for a long time].",
         "[When {he} came home, the {thing} was gone.|Then {he} looked around, and the {thing} was gone!|Soon {he} saw that the {thing} was missing.]",
         "[\"Oh no! Where is my {thing}?\" cried {hero}.|\"My {thing} is lost,\" said {hero}, and {he} began to cry.|{hero} felt very sad.]",
         "{He} looked {spot1}, but it was not there.", "?[Then {he}|{hero}] looked {spot2}, but [there was only a {other_kind}|it was empty|{he} found nothing].",
         "[Just then|After a while|Soon], {he} met {a_friend} named {friend}.",
         "\"[Why are you sad|What is wrong|What are you looking for]?\" asked {friend}.",
         "\"I lost my {color_thing},\" said {hero}.", "\"[Do not worry|Do not cry|Cheer up]. [I will help you|Let us look together|We will find it],\" said {friend}."],
        ["[They looked and looked.|Together they searched the whole {place}.|They walked back the way {hero} had come.]",
         "At last, {friend} [looked|peeked] {spot3}[.|, and something {color} was shining there.]", "\"[Look|Here it is|I found it]!\" [shouted|called|cried] {friend}.",
         "[It was the {thing}!|There was the {color_thing}!]", _HAPPY, "?" + _THANKS, "?" + _WELCOME, _END]]),
    "stuck": (["helping others", "being kind", "a rescue"], ("kind", "place"), [
        [_OPEN, _HOME],
        [_DAY + ", {hero} was walking [{in_place}|near the {place}] when {he} heard a [small|sad|tiny] voice.",
         "\"Help! Help me, please!\" [cried|called] the voice.", "{hero} [ran|hurried|went] to see who it was.",
         "[There, {spot1}, was {an_other}.|{hero} found {an_other} {spot1}.] [It was stuck and could not get out.|Its foot was caught.|It could not move.]",
         "\"[Do not be afraid|Stay calm|Hold on]. I will help you,\" said {hero}.",
         "{He} [pulled and pulled|pushed with all {his} might|tried to lift it], but [{he} was not strong enough|it did not move|it was too heavy].",
         "?{hero} sat down to think.", "\"I know! I will ask {friend},\" said {hero}."],
        ["[Soon {friend_full} came with a [long|strong] rope.|{friend_full} came at once.|{hero} ran to get {a_friend} named {friend}.]",
         "\"[Let us pull together|One, two, three, pull|We can do it if we work together]!\" said {friend}.",
         "[They pulled, and with a pop the {other_kind} was free!|Together they pulled as hard as they could, and the {other_kind} was free.|At last, the {other_kind} came out.]",
         "\"Thank you both,\" said the {other_kind}. \"My name is {other}.\"",
         "?[{other} gave them some {food}.|They shared some {food}.|They all sat down and ate {food}.]",
         "[{hero} learned that helping feels good.|{hero} learned that two are stronger than one.|{hero} was proud.]", _END]]),
    "afraid": (["being brave", "being afraid of {fear}", "courage"], ("kind",), [
        [_OPEN, _HOME, "{hero} was [kind and funny|good at many things|always busy], but {he} was afraid of {fear}."],
        [_DAY + ", {his} friend {friend_full} came to visit.", "\"[Come with me|Let us have an adventure|I want to show you something],\" said {friend}.",
         "\"I can not. I am afraid of {fear},\" said {hero}[.| in a small voice.]",
         "[{friend} did not laugh.|{friend} nodded.|{friend} took {hero} by the hand.] \"[Everyone is afraid sometimes|I was afraid too, once|Being brave means trying even when you are afraid],\" {friend_he} said.",
         "?{Elder} heard them and said, \"Take small steps.\"", "{friend} gave {hero} {aid}[ to help|. \"This will help,\" {friend_he} said]."],
        ["[{hero} took a deep breath.|{hero} closed {his} eyes and counted to three.|{hero}'s heart beat fast.]", "[Step by step|Slowly|Little by little], {he} tried.",
         "[At first it was hard.|{His} legs were shaking.|{He} wanted to run away, but {he} stayed.]",
         "Then {hero} {fear_lesson}.", "\"[I did it|It is not so bad|I am not afraid any more]!\" [said|cried|shouted] {hero}.",
         "\"I [knew you could do it|am proud of you],\" said {friend}.", _END]]),
    "share": (["sharing", "sharing {food}", "being hungry"], ("kind", "food", "place"), [
        [_OPEN, _HOME],
        [_DAY + ", {hero} found [a lot of|a big basket of|many sweet] {food}[ {in_place}| {spot1}].",
         "\"[These are all for me|I will keep them all|What a treat]!\" said {hero}.",
         "[Then|Soon|After a while] {friend_full} came by. {friend_He} looked [tired and hungry|thin and hungry|sad].",
         "\"May I have some {food}?\" asked {friend}. \"I have not eaten all day.\"",
         "[{hero} did not want to share.|At first, {hero} said no.|{hero} looked at {his} {food} and did not know what to do.]",
         "[{friend} walked away slowly.|A tear fell from {friend}'s eye.|{friend} said nothing and turned to go.]",
         "[{hero} felt bad.|Then {hero} thought about being hungry.|{hero}'s heart felt heavy.]"],
        ["\"Wait!\" [called|said] {hero}. \"[There is enough for both of us|Please eat with me|We can share].\"",
         "[They sat {spot2} and ate together.|So they sat down and ate until they were full.|They ate and laughed until the sun went down.]",
         "[The {food} tasted better than ever.|The {food} were sweet and good.]",
         "?The next [day|week], {hero} was hungry, and {friend} brought {him} [warm soup|some bread|a {cake}].",
         "[{hero} learned that sharing makes friends.|\"Sharing is fun,\" said {hero}.|{hero} learned that food is best when it is shared.]", _END]]),
    "build": (["building {a_build}", "{a_build}", "working together"], ("kind", "place"), [
        [_OPEN, _HOME, "{He} wanted to build {a_build}."],
        [_DAY + ", {hero} [gathered|looked for|brought] {parts} [and began to work|and started to build|from the {place}].",
         "[{He} worked all morning.|It was hard work.|{He} worked and worked.]", "But [the wind blew|it was late], and {hard_part} fell down[ with a crash|].",
         "\"[I will never finish|This is too hard|I give up],\" said {hero}[.|, and {he} sat down.]",
         "[{friend_full} was passing by.|{hero}'s friend {friend_full} heard the noise.|Just then, {friend_full} came along.]",
         "\"[May I help|Can we build it together|Do you need a hand]?\" {friend_he} asked.", "\"[Yes, please|Oh yes|I would like that]!\" said {hero}."],
        ["[{hero} held {hard_part}, and {friend} tied it with a rope.|{friend} brought more {parts}, and {hero} fixed {hard_part}.|{friend} had a good plan, and {hero} had strong arms.]",
         "?{Elder} brought them [some {food}|cold water|a {cake}].",
         "[By evening|Before the sun went down|At the end of the day], the {build} was [finished|ready|done].",
         "\"It is [beautiful|perfect|wonderful]!\" said {hero}.", "[They played there until it was dark.|They sat and looked at the stars.|All their friends came to see it.]",
         "[{hero} learned that work is easier together.|\"We make a good team,\" said {friend}.]", _END]]),
    "storm": (["a storm", "the rain", "bad weather"], ("kind", "place"), [
        [_OPEN, _HOME],
        [_DAY + ", [dark clouds came over the {place}|the sky turned gray|the wind began to blow].",
         "[Rain fell|The rain came down] and the thunder went boom.", "{hero} [ran home|closed the door|hid in {his} {home}] [and felt safe|to stay dry].",
         "Then {he} heard a knock. It was {friend_full}, [wet and cold|shaking from the cold|with water in {friend_his} eyes].",
         "\"The [wind|storm|rain] broke my home,\" said {friend}. \"[I have no place to go|May I come in|Can I stay with you]?\"",
         "\"[Of course|Come in, come in|Yes, you can stay]!\" said {hero}. [{He} gave {friend} a warm blanket.|{He} made hot soup.|{He} lit a small fire.]"],
        ["?They told each other stories until the storm was over.", "In the morning, the sun was shining[ and a rainbow was in the sky|].",
         "\"Now let us fix your home,\" said {hero}.", "[They worked all day long.|They carried branches and stones.|{other} the {other_kind} came to help, too.]",
         "[Soon the home was as good as new.|By night, {friend} had a new home.]", "[\"Thank you, {hero},\" said {friend}.|\"You are a true friend,\" said {friend}.|{friend} gave {hero} a big hug.]",
         _END]]),
    "skill": (["learning to {skill}", "{skilling}", "never giving up"], ("kind",), [
        [_OPEN, _HOME, "More than anything, {hero} wanted to learn to {skill}."],
        ["[All {his} friends could {skill}, but {he} could not.|{He} dreamed about {skilling} every night.|{He} watched the others {skill} and wished to do it too.]",
         _DAY + ", {he} tried [for the first time|very hard|again and again].", "[It did not go well.|{He} made many mistakes.|It was harder than {he} thought.]",
         "?[{other} the {other_kind} laughed at {him}.|\"You will never learn,\" said {other} the {other_kind}.]",
         "\"I [can not do it|will never learn to {skill}],\" said {hero}, and {he} went to {elder}.",
         "\"[Every day a little|Try again slowly|Nobody learns in one day|Practice makes you better],\" said {elder}."],
        ["So {hero} practiced [every day|each morning|after lunch every day]. {friend_full} [helped {him}|cheered for {him}|came to watch].",
         "[Each day it got a little better.|After many days, something changed.|Slowly, {he} got better.]",
         "Then one day, {hero} could {skill}[ all alone|]!", "\"[Look at me|I can do it|I did it]!\" [shouted|cried|called] {hero}.",
         "[Everyone clapped.|{friend} clapped and cheered.|{Elder} smiled with pride.]", "?{hero} learned to never give up.", _END]]),
    "party": (["a birthday", "a party", "a surprise"], ("kind",), [
        [_OPEN, _HOME, "[Tomorrow was {friend}'s birthday.|It was the birthday of {his} friend {friend_full}.]"],
        ["\"I will make a {cake} for {friend},\" said {hero}.", "{He} [went to get|needed|bought] flour, eggs and {food}.",
         "[{He} mixed and stirred.|{hero} worked in the kitchen for a long time.|{He} put it in the oven and waited.]",
         "But [when {he} carried it outside, {he} fell, and the cake fell too|{he} forgot the time, and the cake turned black|the cake was flat as a stone].",
         "\"[Oh no! The cake is gone|Now there is no cake|What will I do now]!\" cried {hero}.",
         "{other} the {other_kind} saw it and said, \"[Do not cry. Let us make a new one|We can all help|I have some {food} left].\""],
        ["[Together they made an even bigger cake.|This time, they worked together and the cake was perfect.|Soon a new cake was ready.]",
         "[When {friend} came, everyone shouted, \"Happy birthday!\"|\"Surprise!\" they all shouted when {friend} opened the door.|They put {color} balloons everywhere and waited for {friend}.]",
         "\"[This is the best birthday ever|Is this all for me|What a lovely surprise]!\" said {friend}.",
         "?{hero} gave {friend} {a_thing}.", "[They ate cake and danced all night.|They played games until late.|They sang songs and ate every bit of the cake.]", _END]]),
    "noise": (["a strange noise", "a mystery", "a night {in_place}"], ("kind", "place"), [
        [_OPEN, _HOME],
        ["One night, {hero} heard a strange noise[ outside| {spot1}| in the dark].", "[\"Tap, tap, tap,\" it went.|\"Scratch, scratch,\" it went.|\"Hoo, hoo,\" it went.|\"Bump, bump,\" it went.]",
         "\"[What is that|Who is there|Is it a monster]?\" [whispered|asked] {hero}.", "{He} [was scared|wanted to hide under the bed|pulled up {his} blanket], but {he} was also curious.",
         "{He} took a [small lamp|lantern|candle] and went to see.", "?[The moon was bright.|The wind was cold.|Everything was quiet.]",
         "The noise came from [the old barn|a big tree|the well|the garden gate]. {hero} walked closer and closer."],
        ["It was only {an_other}! [It was more scared than {hero}.|It had lost its way.|It was looking for food.]",
         "\"[I am sorry|I did not mean to scare you],\" said the {other_kind}. \"My name is {other}, and I [can not find my way home|am all alone|am so hungry].\"",
         "\"[You can come with me|I will help you|Do not be afraid],\" said {hero}.",
         "[They walked together under the stars until they found {other}'s family.|{hero} gave {other} some {food} and a warm bed.|{hero} showed {other} the way home with {his} light.]",
         "[After that, {hero} was not afraid of noises at night.|{hero} had a new friend.|\"Good night, {other},\" said {hero}.]",
         "[From that night on, they played together every day.|Then {he} went back to bed and had sweet dreams.|And the night was quiet again.]"]]),
    "race": (["a race", "winning and losing", "running"], ("kind", "place"), [
        [_OPEN, _HOME, "{He} loved to run."],
        [_DAY + ", there was a big race [{in_place}|around the {place}].", "\"I will win,\" said {friend_full}. \"[I am the fastest|Nobody can beat me|You are too slow].\"",
         "\"We will see,\" said {hero}.", "\"Ready, set, go!\" called {elder}, and they ran.",
         "[{friend} was far ahead.|They ran side by side.|{hero} was in front.]", "Then {friend} [fell over a root|slipped in the mud|hurt {friend_his} foot] and [cried out|could not get up].",
         "{hero} could see the finish line. [{He} stopped|{He} thought for a moment].", "\"[A friend is more important than a race|I can not leave you here],\" said {hero}, and {he} went back."],
        ["{He} helped {friend} up, and they walked to the end together.", "?{other} the {other_kind} won the race[ and got {a_thing}|].",
         "\"Why did you stop?\" asked {friend}. \"You could have won.\"", "\"[You needed help|Winning is not everything|You are my friend],\" said {hero}.",
         "[Everyone clapped for them both.|{Elder} gave both of them a prize for being kind.|{friend} was sorry for {friend_his} proud words.]", _END]]),
    "garden": (["a seed", "growing {a_plant}", "waiting"], ("kind",), [
        [_OPEN, _HOME],
        [_DAY + ", {elder} gave {hero} a tiny seed.", "\"[Plant it and wait|Take good care of it|It needs sun, water and time],\" said {elder}.",
         "{hero} [dug a hole|made a hole in the ground] {spot1} and put the seed in.", "[The next day, {he} looked, but there was nothing.|{He} waited one day, and two days, but nothing came up.]",
         "\"[Why does it not grow?|Is it broken?|It is too slow,]\" said {hero}[.| with a sigh.]",
         "{friend_full} said, \"[Good things take time|Let us water it every day|Be patient].\""],
        ["So they gave it water every [morning|day|evening]. ", "?[When it was hot, they made shade for it.|They sang to it, too.|They pulled out the weeds.]",
         "One morning, a [small|tiny] green leaf came up!", "[It grew and grew.|Day by day, it grew taller.]", "[In the summer|After some weeks|At last], it was a [big|beautiful|tall] {plant}.",
         "\"It was worth the wait,\" said {hero}.", "?[They shared it with the whole {place}.|Everybody came to look at it.|{Elder} was very proud.]", _END]]),
    "truth": (["telling the truth", "a broken {thing}", "saying sorry"], ("kind", "thing"), [
        [_OPEN, _HOME],
        [_DAY + ", {hero} was playing at the home of {friend_full}.", "{friend} had {a_thing}[ on a shelf|. It was very special to {friend_him}].",
         "{hero} [picked it up|ran past it|wanted to look at it], and it [fell down and broke|broke in two|fell and broke with a crack].",
         "[When {friend} came back, {he} said, \"I did not do it.\"|\"It was the wind,\" {he} told {friend}.|{He} hid it {spot1} and said nothing.]",
         "[{friend} was very sad.|{friend} looked at the pieces and cried.]", "That night, {hero} could not [sleep|eat|smile]. [{His} tummy hurt.|{He} felt bad inside.]"],
        ["[In the morning|The next day], {hero} went to {friend}.", "\"I broke your {thing}, and I did not tell the truth. I am sorry,\" {he} said.",
         "[{friend} was quiet for a while.|{friend} looked at {hero}.]", "\"[Thank you for telling me|I am not angry any more|It was brave to tell me],\" {friend_he} said.",
         "[They fixed the {thing} with glue.|Together they made a new {thing}.|{hero} gave {friend} {his} own {thing}.]",
         "[{hero} felt light as a feather.|{hero} learned that the truth is always best.|{hero} promised to always tell the truth.]", _END]]),
    "journey": (["a long journey", "an adventure", "a trip to the sea"], ("kind", "place"), [
        [_OPEN, _HOME, "{hero} had always wanted to see the [sea|big mountain|far side of the river|great waterfall]."],
        [_DAY + ", {he} packed [some {food}|bread and {food}|a {color} bag] and set off.", "?\"Be careful,\" said {elder}.",
         "On the way, {he} met {friend_full}. \"Where are you going?\" asked {friend}.",
         "\"I am going on an adventure,\" said {hero}. \"[Do you want to come?|Come with me!]\"",
         "So they walked together. [First they crossed a bridge.|First they went through a dark forest.|First they climbed a steep hill.]",
         "[Then|Soon] they came to a [wide river|high wall|deep hole], and {hero} did not know how to get across.",
         "[\"We can make a bridge from this log,\" said {friend}.|{other} the {other_kind} showed them a secret path.|\"Let us go around it,\" said {friend}.]"],
        ["[At last|When the sun was low|After a long walk], they were there.", "\"[It is so big|How beautiful|I have never seen anything like it]!\" said {hero}.",
         "They [sat down|stood still] and looked for a long time.", "?{hero} found {a_thing} {spot2} and took it home.",
         "\"The best part was going with you,\" said {friend}.", _END]]),
    "new_friend": (["making friends", "a new friend", "being lonely"], ("kind", "place"), [
        [_OPEN, _HOME, "?{hero} did not have many friends."],
        [_DAY + ", a new neighbor came to the {place}. It was {a_friend} named {friend}.", "{friend} was [shy|quiet] and [sat all alone {spot1}|did not talk to anyone|hid behind a tree].",
         "[The others played and did not see {friend_him}.|\"{friend_He} looks strange,\" said {other} the {other_kind}.|Nobody asked {friend_him} to play.]",
         "{hero} [took {his} {color_thing}|thought of something] and walked over.",
         "\"Hello, I am {hero}. [Do you want to play with me|Would you like to play|What is your name]?\"",
         "\"[Yes|I would love to|Really? Yes, please],\" said {friend}[.| with a small smile.| very softly.]"],
        ["[They played with the {thing} all day.|They played hide and seek.|They ran and jumped and laughed.]", "[{friend} knew many funny stories.|{friend} could {skill} very well.|{friend} was very good at games.]",
         "[Soon the others came to play, too.|\"May we play, too?\" asked {other}.]", "\"[I was so lonely before|I am glad that you said hello],\" said {friend}.",
         "\"I am glad, too,\" said {hero}.", _END]]),
    "magic": (["magic", "a magic {thing}", "a wish"], ("kind", "thing", "place"), [
        [_OPEN, _HOME],
        [_DAY + ", {hero} found {a_thing} {spot1}.", "[It was shining in the light.|It was very old.|It felt warm.] \"[I am a magic {thing}|You may make one wish],\" it said.",
         "{hero} could not believe it.", "[First, {he} wanted to wish for a mountain of {food}.|{He} thought about toys and gold.|\"What should I wish for?\" {he} thought.]",
         "Then {he} saw {friend_full}. {friend_He} was [sick|very sad|cold and tired] and [lay {spot2}|sat {spot2}].",
         "\"[What is wrong|Are you all right]?\" asked {hero}.", "\"[My home is gone|I miss my family|I can not find my mother],\" said {friend}."],
        ["{hero} held the {thing} and said, \"I wish [that {friend} is happy again|for {friend} to be well and happy].\"",
         "[There was a flash of {color} light.|The {thing} began to shine.|The wind blew, and bells rang.]", "[At once|Suddenly|In a moment], [{friend}'s family was there|everything was good again].",
         "\"You gave your wish to me!\" said {friend}. \"[Why|How can I thank you]?\"", "\"[Because you needed it more|A friend is better than gold],\" said {hero}.",
         "?The {thing} never spoke again, but {hero} kept it always.", _END]]),
}


def tell(rng, plot=None, **fixed):
    """Tells one story; returns (text, plot name, words)."""
    name = plot or rng.choice(list(PLOTS))
    words = make_words(rng, **fixed)
    paragraphs = []
    for sentences in PLOTS[name][2]:
        chosen = []
        for sentence in sentences:
            if sentence.startswith("?"):
                if rng.random() < 0.5:
                    continue
                sentence = sentence[1:]
            chosen.append(expand(rng, sentence, words).strip())
        paragraphs.append(" ".join(capital(s) for s in chosen))
    return "\n\n".join(paragraphs), name, words
