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
