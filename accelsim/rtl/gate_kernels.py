"""Loops of the gate-level simulation: one without delays, one with them.

Both start a cycle with the clock edge: flops take what stood at their data pins, then inputs change
and the gates settle. ``gate_energy`` and the other arrays are those of ``gate_circuit.Arrays``.
"""

from __future__ import annotations

import numpy as np

from accelsim.kernels import inner_kernel, kernel


@kernel
def settle_once(arrays, stimulus, watched, outputs, cycle_energy, unit_energy, toggles):
    """Simulate without delays: every net changes at most once a cycle.

    Args:
        arrays: The circuit.
        stimulus: uint8 [cycles, I], input bits.
        watched: int32 [W], nets whose values are wanted.
        outputs: uint8 [cycles, W], filled with their values at the end of each cycle.
        cycle_energy: float64 [cycles], filled with pJ.
        unit_energy: float64 [G + F + K], added to.
        toggles: int64 [nets], added to.
    """
    values = arrays.values.copy()
    gates = len(arrays.out_net)
    states = np.zeros(gates, np.int64)
    before = values.copy()
    for cycle in range(len(stimulus)):
        spent = 0.0
        before[:] = values
        if cycle > 0:
            spent += _clock(arrays, values, before, unit_energy, gates)
        for index in range(len(arrays.input_net)):
            values[arrays.input_net[index]] = stimulus[cycle, index]
        for gate in range(gates):
            spent += _settle_gate(arrays, gate, values, states, cycle, unit_energy)
        if cycle > 0:
            spent += _settle_flops(arrays, values, before, unit_energy, gates)
        else:
            spent = 0.0
            unit_energy[:] = 0.0
        for net in range(len(values)):
            toggles[net] += cycle > 0 and values[net] != before[net]
        for index in range(len(watched)):
            outputs[cycle, index] = values[watched[index]]
        cycle_energy[cycle] = spent


@inner_kernel
def _clock(arrays, values, before, unit_energy, gates):
    """Clock every flop that is not gated off; return the energy of the rising edge."""
    spent = 0.0
    flops = len(arrays.flop_data)
    for flop in range(flops):
        gate = arrays.flop_gate[flop]
        if gate >= 0 and before[arrays.enable_net[gate]] == 0:
            continue
        energy, new = _edge_of(arrays, flop, before)
        out = arrays.flop_out[flop]
        if new != before[out]:
            values[out] = new
            energy += arrays.out_energy[flop, new]
        unit_energy[gates + flop] += energy
        spent += energy
    for gate in range(len(arrays.enable_net)):
        energy = arrays.gate_clock_energy[gate, before[arrays.enable_net[gate]]]
        unit_energy[gates + flops + gate] += energy
        spent += energy
    return spent


@inner_kernel
def _edge_of(arrays, flop, before):
    """Return the energy of a rising edge at a flop's clock pin, and what it stores."""
    data, old = before[arrays.flop_data[flop]], before[arrays.flop_out[flop]]
    return arrays.clock_energy[flop, data, old], data ^ arrays.flop_inverts[flop]


@inner_kernel
def _settle_gate(arrays, gate, values, states, cycle, unit_energy):
    """Evaluate a gate once; return the energy of what changed."""
    begin, pins = arrays.pin_start[gate], arrays.pin_start[gate + 1] - arrays.pin_start[gate]
    state = 0
    for pin in range(pins):
        state |= np.int64(values[arrays.pin_net[begin + pin]]) << pin
    changed = states[gate] ^ state
    states[gate] = state
    new = arrays.truth[arrays.truth_start[gate] + state]
    out = arrays.out_net[gate]
    old = values[out]
    values[out] = new
    if changed == 0 or cycle == 0:
        return 0.0
    spent, output, count = 0.0, 0.0, 0
    for pin in range(pins):
        if changed >> pin & 1:
            entry = arrays.table_start[gate] + (np.int64(pin) << pins) + state
            spent += arrays.input_energy[entry]
            output += arrays.output_energy[entry]
            count += 1
    if new != old:
        spent += output / count
    unit_energy[gate] += spent
    return spent


@inner_kernel
def _settle_flops(arrays, values, before, unit_energy, gates):
    """Return the energy of changes at data pins and enables, and of the falling edge."""
    spent = 0.0
    flops = len(arrays.flop_data)
    for flop in range(flops):
        energy = 0.0
        data, out = values[arrays.flop_data[flop]], values[arrays.flop_out[flop]]
        if data != before[arrays.flop_data[flop]]:
            energy += arrays.data_energy[flop, data, out]
        gate = arrays.flop_gate[flop]
        if gate < 0 or before[arrays.enable_net[gate]] == 1:
            energy += arrays.fall_energy[flop, data, out]
        unit_energy[gates + flop] += energy
        spent += energy
    for gate in range(len(arrays.enable_net)):
        net = arrays.enable_net[gate]
        if values[net] != before[net]:
            unit_energy[gates + flops + gate] += arrays.enable_energy[gate, values[net]]
            spent += arrays.enable_energy[gate, values[net]]
    return spent


@kernel
def settle_timed(arrays, stimulus, watched, outputs, cycle_energy, unit_energy, toggles):
    """Simulate with the gates' delays: a pulse shorter than a gate's delay does not pass it.

    Arguments as in ``settle_once``. Time runs in ticks of 1 ps; a wheel of linked lists holds the
    one change that each gate, flop and input may have pending.
    """
    values = arrays.values.copy()
    gates, flops = len(arrays.out_net), len(arrays.flop_data)
    sources = gates + flops + len(arrays.input_net)
    states = np.zeros(gates, np.int64)
    _start_values(arrays, values, states, stimulus)
    size = 1
    longest = max(_longest(arrays.pin_delay), _longest(arrays.flop_delay))
    while size <= max(longest, _longest(arrays.input_delay)):
        size *= 2
    wheel = np.full(size, -1, np.int32)
    links = np.full((sources, 2), -1, np.int32)  # next and previous in the same slot
    due = np.full(sources, -1, np.int64)  # slot of the pending change, -1 for none
    cause = np.zeros(sources, np.int32)
    before = values.copy()
    for cycle in range(len(stimulus)):
        before[:] = values
        spent, pending = 0.0, 0
        if cycle > 0:
            spent, pending = _clock_timed(arrays, before, unit_energy, gates, wheel, links, due)
        for index in range(len(arrays.input_net)):
            new = stimulus[cycle, index]
            if new != values[arrays.input_net[index]]:
                _schedule(gates + flops + index, arrays.input_delay[index, new], wheel, links, due)
                pending += 1
        if cycle == 0:
            unit_energy[:] = 0.0
        spent += _run_wheel(
            arrays, values, states, pending, wheel, links, due, cause, unit_energy, toggles
        )
        if cycle > 0:
            spent += _fall_timed(arrays, values, before, unit_energy, gates)
        for index in range(len(watched)):
            outputs[cycle, index] = values[watched[index]]
        cycle_energy[cycle] = spent


@inner_kernel
def _start_values(arrays, values, states, stimulus):
    """Settle on the first row of inputs."""
    for index in range(len(arrays.input_net)):
        values[arrays.input_net[index]] = stimulus[0, index]
    for gate in range(len(arrays.out_net)):
        begin = arrays.pin_start[gate]
        state = 0
        for pin in range(arrays.pin_start[gate + 1] - begin):
            state |= np.int64(values[arrays.pin_net[begin + pin]]) << pin
        states[gate] = state
        values[arrays.out_net[gate]] = arrays.truth[arrays.truth_start[gate] + state]


@inner_kernel
def _longest(delays):
    return delays.max() if delays.size else 0


@inner_kernel
def _schedule(source, slot, wheel, links, due):
    """Put a change into a slot of the wheel."""
    head = wheel[slot]
    links[source, 0], links[source, 1] = head, -1
    if head >= 0:
        links[head, 1] = source
    wheel[slot] = source
    due[source] = slot


@inner_kernel
def _cancel(source, wheel, links, due):
    """Take a change out of its slot."""
    following, previous = links[source]
    if previous >= 0:
        links[previous, 0] = following
    else:
        wheel[due[source]] = following
    if following >= 0:
        links[following, 1] = previous
    due[source] = -1


@inner_kernel
def _clock_timed(arrays, before, unit_energy, gates, wheel, links, due):
    """Clock the flops; return the energy of the edge and how many outputs will change."""
    spent, pending = 0.0, 0
    flops = len(arrays.flop_data)
    for flop in range(flops):
        gate = arrays.flop_gate[flop]
        if gate >= 0 and before[arrays.enable_net[gate]] == 0:
            continue
        energy, new = _edge_of(arrays, flop, before)
        if new != before[arrays.flop_out[flop]]:
            _schedule(gates + flop, arrays.flop_delay[flop, new], wheel, links, due)
            pending += 1
        unit_energy[gates + flop] += energy
        spent += energy
    for gate in range(len(arrays.enable_net)):
        energy = arrays.gate_clock_energy[gate, before[arrays.enable_net[gate]]]
        unit_energy[gates + flops + gate] += energy
        spent += energy
    return spent, pending


@inner_kernel
def _run_wheel(arrays, values, states, pending, wheel, links, due, cause, unit_energy, toggles):
    """Let pending changes happen until nothing is left; return their energy."""
    spent = 0.0
    mask = len(wheel) - 1
    gates, flops = len(arrays.out_net), len(arrays.flop_data)
    now = 0
    while pending > 0:
        slot = now & mask
        while wheel[slot] >= 0:
            source = wheel[slot]
            _cancel(source, wheel, links, due)
            pending -= 1
            if source < gates:
                net = arrays.out_net[source]
                pins = arrays.pin_start[source + 1] - arrays.pin_start[source]
                entry = arrays.table_start[source] + (np.int64(cause[source]) << pins)
                energy = arrays.output_energy[entry + states[source]]
            elif source < gates + flops:
                net = arrays.flop_out[source - gates]
                energy = arrays.out_energy[source - gates, 1 - values[net]]
            else:
                net = arrays.input_net[source - gates - flops]
                energy = 0.0
            values[net] ^= 1
            toggles[net] += 1
            if source < gates + flops:
                unit_energy[source] += energy
                spent += energy
            for index in range(arrays.reader_start[net], arrays.reader_start[net + 1]):
                energy, change = _tell(
                    arrays, index, net, now, values, states, wheel, links, due, cause, unit_energy
                )
                spent += energy
                pending += change
        now += 1
    return spent


@inner_kernel
def _tell(arrays, index, net, now, values, states, wheel, links, due, cause, unit_energy):
    """Tell a reader that a net has changed; return its energy and the change in what is pending."""
    reader = arrays.reader[index]
    gates = len(arrays.out_net)
    if reader >= gates:
        flop = reader - gates
        energy = arrays.data_energy[flop, values[net], values[arrays.flop_out[flop]]]
        unit_energy[reader] += energy
        return energy, 0
    pin = arrays.reader_pin[index]
    begin, pins = arrays.pin_start[reader], arrays.pin_start[reader + 1] - arrays.pin_start[reader]
    state = states[reader] ^ (np.int64(1) << pin)
    states[reader] = state
    energy = arrays.input_energy[arrays.table_start[reader] + (np.int64(pin) << pins) + state]
    unit_energy[reader] += energy
    new = arrays.truth[arrays.truth_start[reader] + state]
    same = new == values[arrays.out_net[reader]]
    if due[reader] >= 0:
        if same:
            _cancel(reader, wheel, links, due)
            return energy, -1
        return energy, 0
    if same:
        return energy, 0
    cause[reader] = pin
    slot = (now + arrays.pin_delay[begin + pin, new]) & (len(wheel) - 1)
    _schedule(reader, slot, wheel, links, due)
    return energy, 1


@inner_kernel
def _fall_timed(arrays, values, before, unit_energy, gates):
    """Return the energy of the falling edge, and of enables that have changed."""
    spent = 0.0
    flops = len(arrays.flop_data)
    for flop in range(flops):
        gate = arrays.flop_gate[flop]
        if gate < 0 or before[arrays.enable_net[gate]] == 1:
            data, out = values[arrays.flop_data[flop]], values[arrays.flop_out[flop]]
            unit_energy[gates + flop] += arrays.fall_energy[flop, data, out]
            spent += arrays.fall_energy[flop, data, out]
    for gate in range(len(arrays.enable_net)):
        net = arrays.enable_net[gate]
        if values[net] != before[net]:
            unit_energy[gates + flops + gate] += arrays.enable_energy[gate, values[net]]
            spent += arrays.enable_energy[gate, values[net]]
    return spent
