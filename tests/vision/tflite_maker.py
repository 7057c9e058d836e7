"""Builds small `.tflite` files by the runtime's own schema, and answers with the runtime's own outputs."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

KINDS = {np.dtype("f4"): 0, np.dtype("f2"): 1, np.dtype("i4"): 2}
SAME, VALID = 0, 1


class Maker:
    """A model of one subgraph, operator by operator; tensors are numbers."""

    def __init__(self, height, width, channels=3):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [schema.BufferT()], []
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], b"main"
        self.model.subgraphs = [self.graph]
        self.input = self.tensor((1, height, width, channels))

    def tensor(self, shape, values=None, sparsity=None, kind=np.float32):
        """A tensor, constant if it has values; its shape may differ from that of sparse values."""
        found = schema.TensorT()
        found.shape, found.name = list(shape), f"t{len(self.graph.tensors)}".encode()
        found.type, found.buffer, found.sparsity = KINDS[np.dtype(kind)], 0, sparsity
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            found.type, found.buffer = KINDS[values.dtype], len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(found)
        return len(self.graph.tensors) - 1

    def constant(self, values):
        return self.tensor(values.shape, values)

    def add(self, name, inputs, shape, options=None, kind=np.float32, **values):
        """An operator and its output; `options` is the name of its table of options."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        operator.opcodeIndex, operator.inputs = len(self.model.operatorCodes), list(inputs)
        operator.outputs = [self.tensor(shape, kind=kind)]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                assert hasattr(operator.builtinOptions, key)
                setattr(operator.builtinOptions, key, value)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)
        return operator.outputs[0]

    def conv(self, x, shape, kernel, bias, stride=1, padding=SAME, activation=0, name="CONV_2D", **more):
        options = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}[name]
        more |= {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
        more |= {"padding": padding, "fusedActivationFunction": activation}
        return self.add(name, [x, kernel, bias], shape, options, **more)

    def done(self, *outputs):
        """The file's bytes."""
        self.graph.inputs, self.graph.outputs = [self.input], list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def sparse_rows(values):
    """A matrix's non-zero values, and the sparsity that says where they are: rows dense, columns compressed."""
    found = schema.SparsityParametersT()
    rows, columns = schema.DimensionMetadataT(), schema.DimensionMetadataT()
    rows.format, rows.denseSize, columns.format = 0, len(values), 1
    segments, indices = schema.Int32VectorT(), schema.Uint8VectorT()
    segments.values = np.concatenate([[0], (values != 0).sum(1).cumsum()]).astype(np.int32)
    indices.values = np.nonzero(values)[1].astype(np.uint8)
    kinds = schema.SparseIndexVector
    columns.arraySegmentsType, columns.arraySegments = kinds.Int32Vector, segments
    columns.arrayIndicesType, columns.arrayIndices = kinds.Uint8Vector, indices
    found.traversalOrder, found.dimMetadata = [0, 1], [rows, columns]
    return values[values != 0], found


def answers(data, picture):
    """What the original runtime makes of a picture (1, h, w, C): its outputs, pictures as (1, C, h, w)."""
    runtime = Interpreter(model_content=data, num_threads=1)
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], picture)
    runtime.invoke()
    found = [runtime.get_tensor(detail["index"]) for detail in runtime.get_output_details()]
    return [out.transpose(0, 3, 1, 2) if out.ndim == 4 else out for out in found]
