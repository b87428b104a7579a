"""What a feature service takes and gives, for those who call it: its contract, and that in the
languages of others.

JSON Schema, Protocol Buffers, Arrow and a typed Python module are texts that follow from a contract
alone; `formats` writes each of them, and is the only module that imports Arrow. No I/O is done
here.
"""

from controlplane.serving.contracts.contract import Contract, Feature, contract

__all__ = ["Contract", "Feature", "contract"]
