"""First and last rows of published text files, for :func:`adapt.datasets.files.complete`.

By mark of the first row: the number of rows, and the mark of the last row. A header is no row.
"""

HEART_DISEASE = {
    "eb5b089d241016dc": (303, "cf9b3173c62ca788"),
    "3eae07f9aa4d509d": (294, "b7a5b3e9c8acb62e"),
    "4c563edd26b7186b": (123, "d3c996b2923e44a5"),
    "ef1598859dcc5684": (200, "9da473a7f3a5916d"),
}
MULTI30K = {
    "ab1ca7519339b809": (29000, "c35d79abcaf374f8"),
    "f59c906299c7a3b5": (29000, "668206f56d9a89ce"),
    "3983fc2e0a8252c9": (29000, "bc170765af91136a"),
    "f1a4f0f6565bc30b": (1014, "34cd845a627e3e04"),
    "6323876feb5fa389": (1014, "ad1a057dc4c60fc8"),
    "79029b376efe8a72": (1014, "2eab0e21b5dde119"),
    "1c6ad53fd19d7ea4": (1000, "5bcec51a918b74cb"),
    "f61456dc5550ed87": (1000, "79355f0347f6083f"),
    "b18bc2006fded7cc": (1000, "5dab4fa9152cd720"),
    "db4fef6fffa32650": (461, "f7644bb477615341"),
    "34635585dac6c185": (461, "a024a35f1eec6c23"),
    "7fa6ebabbcdafdaa": (461, "d6b8245d0e112d88"),
}
UD_PUD = {
    "f693294c286aca47": (1000, "06a549b19836c681"),
    "4fe4de68eaf97585": (1000, "21defd1fa16ca93f"),
    "c23dfdc5c8a56492": (1000, "1697d856bc454f9a"),
}
WISDM = {
    "ce645e726ec605f5": (5418, "8432a2ccbc33cb02"),
}
WORLD_INDICES = {
    "6260b8a310a242e6": (6277, "17b45cffe7eeecf6"),
}
STOCKS = {
    "fa8aac26a2c4ca76": (7126, "3f13dce372a4ee86"),
}
CROSSNER = {
    "90560bb9dc398afe": (14041, "0adef727363e55d3"),
    "c8e05c7db2221889": (3250, "010b5d09decae3df"),
    "86dc4098f30ffddc": (3453, "a94c4dec32b1d2d9"),
    "69b4bfe9ff9d572e": (200, "d2487e87018dd56f"),
    "30245f8080cb7f30": (541, "c6f929512c8cc77c"),
    "da3e57ac30bea986": (651, "2340656eb2cb7890"),
    "ec5884ec45ddf364": (200, "9c6a9495adbd21ba"),
    "a7739878924e76f4": (450, "f36b37d7cdd1d780"),
    "9a7cdea90db766f6": (543, "bb95a6942c696397"),
    "8a4311b1601a9fac": (100, "80bfee28ee2e7b4f"),
    "6cd888f8984637a9": (380, "6aaddc1876b13862"),
    "082fd08774e3b01a": (465, "a9b82d549612027f"),
    "3314a6a7df044b17": (100, "50ee37524796bf54"),
    "5a11e9854add37b3": (400, "80bb6be59e24ca5d"),
    "92dc0645d923de14": (416, "e4b3396ffc71cd31"),
    "374a9afaf25d11b9": (100, "e941d1bd4269361c"),
    "b59ecc285c2b4b1f": (350, "32e0f8b28cddfe51"),
    "35083c1251a0b709": (431, "989da3642a010278"),
}
MRPC = {
    "00e089ec73d251de": (4076, "4c332ee9b820dbbe"),
    "804b002213c60c9a": (1725, "5835ef928b3b42b3"),
}
