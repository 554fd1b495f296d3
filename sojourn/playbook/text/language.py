"""Which language a short text is in, by its commonest words; nothing where they do not tell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NO_WORDS = re.compile(r"(?:https?://|www\.)\S+|[@#]\w+")
_LONGEST = 2_000
"""Characters that are looked at."""
_LEAST_SHARE = 0.15
"""Of the words that must speak for a language."""

_LEAST_FOR_LETTERS = 4
"""Words of a text in which words of one letter speak for a language: elsewhere they are names of things."""

COMMON_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": """
            a about after again all also always am an and another any are aren't as at away back bad be because been
            before being best better but buy by came can can't cannot come could couldn't day did didn't do does
            doesn't doing don't done down each easy else ever every everything few first food for found from get gets
            getting give go going good got great had hadn't has hasn't have haven't having he her here him his how i
            i'd i'll i'm i've if in into is isn't it it's its just keep know last least like little long look looking
            looks lot love made make makes many may me more most movie much must my need never new next nice no nor not
            nothing now of off ok on once one only or other our out over own people phone place please product quality
            quite rather really right said same say see seen she should shouldn't since so some something still such
            take than thank thanks that that's the their them then there there's these they they're thing things think
            this those though through time to today too tried two under until up us use used very want was wasn't way
            we well were weren't what when where which while who why will wish with without won't work worked works
            worth would wouldn't yes yet you you're your yay lol omg hey hi can’t don’t i’m it’s
        """,
        "de": """
            aber alle alles als also am an auch auf aus bei beim bin bis bitte da das dass dem den der des die dies
            diese dieser dieses doch du durch ein eine einem einen einer eines er es etwas euch für gar ganz gegen gut
            gute guter hab habe haben hat hatte ich ihm ihn ihr ihre im immer in ist ja jetzt kann kein keine können
            leider man mehr mein meine mich mir mit muss nach nicht nichts noch nur oder ohne schlecht schon sehr sein
            seine sich sie sind so über um und uns unser unter viel vom von vor war waren was weil wenn wie wieder wir
            wird wurde zu zum zur
        """,
        "fr": """
            ai alors après au aussi autre aux avec avoir bien bon bonne c'est ce cela ces cet cette chez comme d'un
            d'une dans de des donc du elle elles en encore est et était été être eu fait il ils j'ai je l'on la le les
            leur lui ma mais mal mauvais me même mes moi mon n'est ne nos notre nous on ont ou où par pas peu plus pour
            produit qu'il qualité que qui rien sa sans se ses si son sont sur ta tout toute tous très trop tu un une vos
            votre vous y
        """,
        "es": """
            a al algo aquí así aunque bien bueno buena cada calidad como con contra cuando de del desde donde dos el
            ella ellos en entre era es esa ese eso esta está están este esto estoy fue ha hace hasta hay he la las le
            les lo los malo más me mi mis mucho muy nada ni no nos nunca o otra otro para pero poco por porque producto
            que qué se sea ser si sí sin sobre solo son su sus también tan te tiene todo todos tu un una uno unos y ya
            yo
        """,
        "it": """
            a ad ai al alla anche bene buona buono che chi ci come con cosa cui da dal dalla degli dei del della delle
            di dopo due e è ed era fa fatto gli ha ho i il in io la le lei lo loro ma mai male me mi mia mio molto nel
            nella no noi non nostro o per perché però più po poco prodotto quando quello questa questo qualità se sei
            senza si sia sono stata stato su sul sulla suo tanto ti troppo tu tutti tutto un una uno voi
        """,
        "nl": """
            aan al alles als bij dan dat de deze die dit doen door dus een en er erg geen goed goede had heb hebben
            heeft heel hem het hier hij hoe ik in is ja je kan kunnen maar me meer met mij mijn moet na naar niet niets
            nog nu of om omdat onder ons ook op over slecht te tegen toch toen tot u uit van veel voor want waren was
            wat we wel wij worden wordt ze zeer zeggen zich zij zijn zo zonder
        """,
        "pt": """
            a ao aos as até bem boa bom com como da das de depois do dos e é ela ele eles em entre era essa esse esta
            está este eu foi há isso já mais mas me mesmo meu minha muito na não nas nem no nos nós o os ou para pela
            pelo por produto porque qual qualidade quando que quem são se sem ser seu só sua também tem tenho ter toda
            todos tudo um uma você vocês
        """,
        "sv": """
            alla allt att av bara bra den det dig dålig där efter eller en ett för från får ganska går ha hade han har
            hon här i ingen inte jag kan kommer man med mer mig min mitt mot mycket ni nu när och också om oss på sig
            sin ska som så till under upp ut vad var vara vi vid är än över
        """,
        "da": """
            af aldrig alle at blev bliver da de dem den denne der det dette dig dog du dårlig efter eller en er et
            fik for fra godt ham han har hun hvad hvor ikke ikkje jeg kan kun man med meget meg mig min mit mye nå når
            noget og også om op oss over på seg sig skal som så til ud var veldig ved vi vil være
        """,
        "pl": """
            ale ani bardzo bez bo być był była było by co czy dla do dobry dobra gdy go i ich ja jak jest jestem już ją
            każdy kiedy który która kto lub ma mam mi mnie może na nad nic nie niż o od on ona oni po pod polecam przed
            przez się są ta tak tam te tego tej ten to tu tylko tym w wszystko z za ze że źle
        """,
        "tr": """
            ama ben bir biraz bu bunu çok da daha de değil diye en gibi güzel hem her hiç için ile iyi kadar ki kötü mi
            mı mu mü nasıl ne neden o olan oldu olarak sen siz şey şu tavsiye var ve veya ya yok ürün
        """,
        "fi": """
            ei ei en entä että he hyvin hyvä ja jo jos joka kanssa kuin kun kyllä me mikä minä minun mitä mukaan mutta
            myös ne niin nyt oli olen on ovat sekä se sen siitä sitä tai tämä tuote vain vielä
        """,
        "cs": """
            a aby ale ani asi až bez bude by byl byla bylo být co další dobrý do ho i jak jako je jeho jen ještě jsem
            jsou již k kde když která které který má mě mi na nad ne nebo není o od po pro proto při s se si tak také
            ten to u už v ve velmi více všechno z za ze že
        """,
        "ro": """
            a ai al am ar are asta au bun bună ca că care ce cea cel cu cum da dar de din după e ea ei el este eu fi
            fost foarte în îl îmi la mai mă mi mult ne nici nu o pe pentru produs sau să se si și sunt un una va
        """,
        "hu": """
            a az de egy el és ez ezt hogy igen is jó ki le lehet meg mert mi mint minden nagyon nem nincs ő rossz sem
            csak van vagy volt
        """,
        "id": """
            ada adalah aku anda apa atau bagus baik banyak bisa buat dalam dan dari dengan di dia ini itu jangan juga
            kami karena ke kita lagi lebih mereka saja sangat saya semua sudah tapi tidak untuk yang
        """,
    }.items()
}
"""Words that are frequent in each language that is told apart, by ISO 639-1 code. Danish stands for Norwegian too."""


_LANGUAGES_OF: Mapping[str, tuple[str, ...]] = {
    word: tuple(language for language, known in COMMON_WORDS.items() if word in known)
    for word in frozenset().union(*COMMON_WORDS.values())
}


def find_language(text: str, english: Collection[str] = ()) -> str | None:
    """The ISO 639-1 code of a text's language, the name of its script where that is not Latin, or None.

    Counts the commonest words of each language. ``english`` are further English words; each counts half.
    None: no word tells, two languages tell alike, or too few of the words do.

    >>> find_language("The parcel came too late."), find_language("Das Paket kam viel zu spät.")
    ('en', 'de')
    >>> find_language("посылка пришла поздно"), find_language("Galaxy S9 128GB")
    ('cyrillic', None)
    """
    words = [word.lower().replace("’", "'") for word in _WORD.findall(_NO_WORDS.sub(" ", text[:_LONGEST]))]
    if not words:
        return None
    script = _find_script(words)
    if script != "latin":
        return script
    if len(words) < _LEAST_FOR_LETTERS:
        words = [word for word in words if len(word) > 1 or word in ("i", "a")]
    scores = dict.fromkeys(COMMON_WORDS, 0.0)
    for word in words:
        languages = _LANGUAGES_OF.get(word, ())
        for language in languages:
            scores[language] += 1.0
        if "en" not in languages and word in english:
            scores["en"] += 0.5
    (best, score), (_, second) = sorted(scores.items(), key=lambda item: -item[1])[:2]
    return best if score > second and score >= _LEAST_SHARE * len(words) else None


def _find_script(words: list[str]) -> str:
    """The script of most letters, by the first word of their Unicode names."""
    letters = "".join(words)
    if letters.isascii():
        return "latin"
    scripts = Counter(unicodedata.name(letter, "unknown").split()[0].lower() for letter in letters if letter.isalpha())
    return scripts.most_common(1)[0][0] if scripts else "latin"  # numerals such as ² are words of no letter
