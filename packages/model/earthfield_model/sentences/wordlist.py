"""The word list: concepts of landscapes, what is broader, and words for them in a few languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

_STOPWORDS = """
a an the of in on at and or with by to for from is are was were be been it its this that these those here there
near nearby beside next some all around as has have had since
le la les l un une des de du d et en au aux sur sous dans est sont
der die das den dem ein eine einer im am und von vom zu zur bei el los las del y e o do da dos di il lo
"""
STOPWORDS = frozenset(_STOPWORDS.split())
"""Words that say nothing of a place, as they stand in texts."""

_LEAST = 4
"""Letters of the shortest part by which a compound is known."""

# concept < broader one: words, as far as lines are indented. Written for this package; lower case, no accents.
_LIST = """
vegetation: vegetation green plant vegetal pflanze
farmland < vegetation: farmland farm farming agriculture agricultural cultivated cultivation arable cropland
  crop field plough ploughed harvest harvested sown champ culture acker feld landwirtschaft ferme agricole
  cultivo campo tierra smallholding homestead barn tilled ploughland parcel
cereal < farmland: cereal grain corn straw cereale getreide sorghum millet teff sorgho hirse
wheat < cereal: wheat ble weizen trigo frumento spelt durum triticum
barley < cereal: barley orge gerste cebada hordeum
rye < cereal: rye seigle roggen oat oats avoine hafer triticale secale avena
maize < farmland: maize corn mais sweetcorn zea silage
rice < farmland: rice paddy riz reis arroz oryza
rapeseed < farmland: rapeseed rape canola colza raps brassica oilseed
root_crop < farmland: potato beet sugarbeet turnip carrot cassava betterave pomme kartoffel patata ruben
  beta solanum
pulse < farmland: pulse bean soybean soy pea lentil chickpea soja faba alfalfa lucerne clover
sunflower < farmland: sunflower tournesol sonnenblume girasol helianthus
cotton < farmland: cotton coton baumwolle algodon gossypium sugarcane cane flax lin hemp
vegetable < farmland: vegetable horticulture greenhouse nursery legume gemuse allotment onion cabbage tomato
  serre
fallow < farmland: fallow stubble jachere brache
irrigation < farmland: irrigation irrigated pivot
orchard < farmland: orchard fruit apple pear cherry plum almond olive citrus verger obst huerto grove
  plantation coffee cacao cocoa tea banana mango coconut date oil rubber cafe
vineyard < farmland: vineyard vine wine grape vigne vignoble weinberg rebe vina vitis
grassland < vegetation: grassland grass meadow pasture grazing grazed cattle sheep prairie lawn steppe
  savanna savannah prato prado wiese weide pre paturage herbage hay ranch paddock sward turf pampas cerrado
  veld rangeland alpage herd goat cow livestock steppa tundra grassy
forest < vegetation: forest wood woodland wooded tree grove foret bois wald bosque bosco foresta arbre baum
  selva jungle rainforest copse spinney thicket coppice taiga canopy forested sylvan bosquet hain
broadleaf < forest: broadleaf broadleaved deciduous oak beech birch ash maple elm alder poplar willow
  hornbeam lime chene hetre eiche buche birke quercus fagus betula fraxinus acer feuillu laubwald sycamore
  walnut chestnut plane hazel rowan acacia teak mahogany baobab robinia platane erable frene
conifer < forest: conifer coniferous pine spruce fir larch cedar juniper needleleaved needle pinus picea
  abies larix sapin epicea tanne fichte kiefer nadelwald resineux douglas cypress cedrus yew sequoia hemlock
  pinede
evergreen < forest: evergreen laurel eucalyptus tropical
plantation < forest: plantation timber forestry logging
clearing < forest: felled clearcut clearfell logged deforestation deforested felling burnt burned wildfire
shrub < vegetation: shrub shrubland scrub bush heath heathland moor moorland hedge hedgerow thicket maquis
  garrigue lande heide macchia bruyere chaparral fynbos caatinga matorral bramble gorse broom
water: water eau wasser agua acqua
river < water: river stream creek brook canal channel ditch riviere fleuve ruisseau fluss bach rio fiume
  confluence waterfall rapid estuary ford waterway oued wadi riverbank tributary oxbow brooklet bayou moulin
lake < water: lake pond reservoir dam lagoon lac etang see teich lago laguna basin barrage stausee pool loch
  tarn mere lough oasis waterhole weiher
sea < water: sea ocean bay gulf coast strait mer meer mar mare littoral marine shore fjord atoll reef lough
  cove
wetland < water: wetland marsh swamp bog fen mire reed reedbed peat peatland boggy mangrove marais tourbiere
  moor sumpf moos tidal mudflat flooded floodplain bogland fenland swampy marshy quagmire wet
beach < sea: beach sand dune plage strand playa
port < sea: port harbour harbor dock quay pier marina ferry ship shipyard hafen puerto lighthouse
ice: ice glacier snow frozen permafrost glacial gletscher neige schnee icefield
settlement: settlement built urban builtup residential
city < settlement: city town metropolis downtown ville stadt ciudad citta capital municipality quarter
  district suburb quartier stadtteil metropolitan inner slum favela township
village < settlement: village hamlet commune dorf pueblo gemeinde ortsteil bourg weiler
building < settlement: building house roof home apartment tower flat batiment maison gebaude haus edificio
  casa construction dwelling cottage bungalow mansion skyscraper housing villa hut barrack estate townhouse
industry < settlement: industry industrial factory plant warehouse refinery mill usine fabrik industrie werk
  zone landfill depot sawmill brewery cement chemical steel logistics mall supermarket
worship < building: church chapel cathedral abbey monastery temple mosque synagogue shrine basilica eglise
  chapelle kirche kapelle kloster cathedrale abbaye couvent paroisse munster
school < building: school university college campus lycee ecole universite schule universitat gymnasium
  institute
hospital < building: hospital clinic hopital krankenhaus spital
castle < building: castle palace fort fortress manor chateau burg schloss ruin citadel castillo ruine
museum < building: museum theatre theater gallery library musee bibliotheque
monument < settlement: monument memorial cemetery graveyard tomb cimetiere friedhof statue war
sport < settlement: stadium stade sport pitch golf racecourse arena stadion court
park < vegetation: park garden jardin parc garten yard playground reserve
transport: transport
road < transport: road street passerelle highway motorway lane avenue bridge route rue autoroute strasse autobahn
  brucke pont paved junction tunnel rond track carriageway expressway freeway boulevard roundabout path
  parking car
railway < transport: railway rail train station tram metro gare bahnhof tramway bahn ferroviaire halt
airport < transport: airport airfield runway aerodrome airstrip aeroport flughafen aeropuerto helipad
  aviation airbase aerial terminal
energy: energy power nuclear solar wind turbine photovoltaic substation pipeline hydroelectric centrale
  kraftwerk electric
bare: bare barren desert soil rock rocky stone gravel sand badland scree cliff outcrop aride wuste desierto
  wasteland sandpit dust saltpan salt sabkha barrenness eroded erosion
quarry < bare: quarry mine mining pit opencast carriere steinbruch excavation
mountain < relief: mountain peak summit ridge montagne berg col pass massif hill colline sommet pic hugel
  crest alp hilltop ridgeline mount monte gipfel
valley < relief: valley gorge canyon ravine vallee tal vallon gully
volcano < relief: volcano crater lava volcan vulkan
cave < relief: cave grotto grotte hohle
island < relief: island isle islet ile insel isla archipelago peninsula
relief: relief slope plateau plain terrace
protected: protected nature reserve national sanctuary conservation
bird: bird avian owl duck goose heron gull finch warbler larus
insect: insect butterfly beetle bee dragonfly moth lepidoptera
mammal: mammal deer fox boar hare bat mouse rodent
fish: fish trout carp salmon
fungus: fungus mushroom lichen
military: military army barracks defence base maginot bunker caserne
border: border frontier boundary grenze frontiere
history: archaeological prehistoric roman medieval battle siege antique
"""


def singular(word: str) -> str:
    """Takes the commonest plural endings off."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def concepts_of(word: str) -> Mapping[str, int]:
    """Gives the concepts of a word, as `words_of` gives it, with how far each is: 0 its own, 1 the next broader.

    A word that is not in the list is taken as a compound (townhouse, lakeside, Nadelwald): it stands one step
    further for what its end says, or else its beginning.
    """
    known = concepts_by_word()
    if word in known:
        return known[word]
    parts = [word[at:] for at in range(1, len(word) - _LEAST + 1)]
    parts += [word[:at] for at in range(len(word) - 1, _LEAST - 1, -1)]
    part = next((one for one in parts if one in known), None)
    return {concept: distance + 1 for concept, distance in known[part].items()} if part else {}


@lru_cache(maxsize=1)
def concepts_by_word() -> Mapping[str, Mapping[str, int]]:
    """Gives, by word, its concepts and those broader, each with how many steps it is away."""
    broader: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    for line in _LIST.strip().replace("\n  ", " ").splitlines():
        head, _, told = line.partition(":")
        concept, _, above = (part.strip() for part in head.partition("<"))
        words[concept] = told.split()
        if above:
            broader[concept] = above
    found: dict[str, dict[str, int]] = {}
    for concept, several in words.items():
        for word in several:
            known = found.setdefault(singular(word), {})
            at: str | None = concept
            distance = 0
            while at is not None:
                known[at] = min(distance, known.get(at, distance))
                at, distance = broader.get(at), distance + 1
    return found
