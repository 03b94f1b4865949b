"""One module a contestant; each has `measure(case, plan, variant)`, which runs in a process of its own."""
