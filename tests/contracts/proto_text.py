"""Reads a .proto file of the few forms that are written, strictly, into what protobuf itself
checks."""

from __future__ import annotations

import re

from google.protobuf import descriptor_pb2, descriptor_pool, timestamp_pb2

_FIELD = re.compile(r'  (optional|repeated) ([\w.]+) (\w+) = (\d+) \[json_name = "(\w+)"\];')
_KINDS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int64", "double", "string", "bytes")
}
Kind = descriptor_pb2.FieldDescriptorProto


def loaded(text: str) -> tuple[str, descriptor_pool.DescriptorPool]:
    """The file's package, and a pool that took it in.

    Raises:
        ValueError: a line is of no known form.
    """
    lines = [
        line for line in text.splitlines() if line.strip() and not line.strip().startswith("//")
    ]
    file = descriptor_pb2.FileDescriptorProto(name="one.proto", syntax="proto3")
    if lines.pop(0) != 'syntax = "proto3";':
        raise ValueError(text)
    message: descriptor_pb2.DescriptorProto | None = None
    for line in lines:
        if found := re.fullmatch(r"package ([\w.]+);", line):
            file.package = found[1]
        elif found := re.fullmatch(r'import "([\w./]+)";', line):
            file.dependency.append(found[1])
        elif found := re.fullmatch(r"message (\w+) \{", line):
            message = file.message_type.add(name=found[1])
        elif line == "}":
            message = None
        elif (found := _FIELD.fullmatch(line)) and message is not None:
            label, kind, name, number, json_name = found.groups()
            field = message.field.add(name=name, number=int(number), json_name=json_name)
            field.label = Kind.LABEL_REPEATED if label == "repeated" else Kind.LABEL_OPTIONAL
            if kind in _KINDS:
                field.type = _KINDS[kind]
            else:
                field.type = Kind.TYPE_MESSAGE
                field.type_name = f".{kind}" if "." in kind else f".{file.package}.{kind}"
            if label == "optional":
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{name}")
        else:
            raise ValueError(line)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return file.package, pool
