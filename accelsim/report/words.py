"""What each word of a report means."""

WORDS = (
    ("token", "One position of one sequence. Per-token figures divide a phase by its tokens."),
    ("prefill, decode", "Reading the prompt in one pass; then one pass per new token."),
    ("operator", "One step of the network: a matrix product, a norm, a softmax. A row is a shape."),
    ("step", "One weight-activation pair at one PE."),
    ("PE, array", "A processing element, and the grid of them that computes matrix products."),
    ("component", "A part of the machine that energy or area is charged to."),
    (
        "waterfall",
        "The energy, added up from the arithmetic of the linear layers to everything else. Every "
        "action belongs to exactly one step, so the last row is the whole.",
    ),
    ("ideal", "Cycles of the issued work if every unit were busy in every cycle."),
    ("spatial stall", "Cycles lost because the shape does not fill the array."),
    ("temporal stall", "Cycles of fill, drain, dependencies and load imbalance."),
    ("memory stall", "Cycles that memory adds over the array."),
    ("vector", "Cycles of the vector unit that nothing hides."),
    (
        "utilisation",
        "Mapping: ideal over ideal + spatial. Compute: over ideal + spatial + temporal. Overall: "
        "over all cycles.",
    ),
    ("bound", "The largest of busy compute, memory and vector time."),
    (
        "low, high",
        "What a price may be. Energies move all prices to one end at once; ratios move one reason "
        "at a time, on both sides.",
    ),
    (
        "how",
        "The evidence of a price: synthesised (our own circuits), measured, published, modelled "
        "(a memory model), composed (a stated formula over other prices), extrapolated (outside a "
        "model's range), unverified (source not opened).",
    ),
    ("format", "How weights are stored and moved. A machine that multiplies can use it too."),
    ("arithmetic", "What the PEs do: multiply and add, or add, subtract and skip."),
    ("synthetic", "Operand counts drawn from a profile that was measured on a trained network."),
)
