"""The format of keys and values in the online store. No I/O, no clock.

A key is `<prefix>{<entity>}`: the prefix names one version of one feature view
(`naming.online_prefix`), the entity is its key values as text. The braces are a Redis Cluster hash
tag: all views of an entity are in one slot.

A value is a MessagePack array `[write_version, effective, feature, ...]`. The first two are always
int64 (0xd3 and 8 bytes, big-endian), so that a server script finds the write version at a fixed
offset; the features follow in the order of the layout. A tombstone, which marks a removed value, is
the array of only the first two.

`controlplane.codec.batch` writes Arrow batches in this format, with the kernels of `columns`. Of
the modules that serve reads, none needs pyarrow.
"""

from controlplane.codec.keys import entity_key, key_text, online_key, parse_key_text, row_key
from controlplane.codec.layout import Default, Field, Layout
from controlplane.codec.values import Decoded, decode, decoder, tombstone, write_version_of

__all__ = [
    "Decoded",
    "Default",
    "Field",
    "Layout",
    "decode",
    "decoder",
    "entity_key",
    "key_text",
    "online_key",
    "parse_key_text",
    "row_key",
    "tombstone",
    "write_version_of",
]
