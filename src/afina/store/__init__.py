"""Rows: the only room that knows SQL. A Scope is one transaction on behalf of one project.

Every function takes its scope first and sees only that project's rows; another project's id is a missing id.
"""
