"""A model from outside: everything that is looked at before an operator may register it as a base.

Each module judges one part of its folder and raises `Unfit`; none of them loads a weight or runs the model's code.
"""
