"""The contract of a feature service, for its callers, and its text in several schema languages.

The texts are JSON Schema, Protocol Buffers, Arrow and a typed Python module. They follow from the
contract alone: `formats` writes each of them, and is the only module that imports Arrow. No I/O is
done here.
"""

from controlplane.serving.contracts.contract import Contract, Feature, contract

__all__ = ["Contract", "Feature", "contract"]
