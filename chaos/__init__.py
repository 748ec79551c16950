"""`holdfast chaos`: a mix of tasks, faults at the worst moments, and a judge that looks from outside.

It drives holdfast as people do, by its processes and its API, and imports what starts those (`cli`) and the contracts
(`holdfast`); nothing but the command line imports it.
"""
