"""The records of a zip file, as they lie in it. Source: APPNOTE.TXT 4.3.7, 4.3.12, 4.3.14 to 4.3.16."""

import struct

LOCAL = struct.Struct("<4s5H3I2H")
"""Before each member."""
CENTRAL = struct.Struct("<4s6H3I5H2I")
"""In the directory, for each member."""
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
SHORT, LONG = 0xFFFF, 0xFFFFFFFF
"""In place of a number of two or four bytes: it stands in a field of ZIP64."""
