"""The SOPs themselves: values in, decisions out.

Every rule of the incident-management policy lives here, once, as data or as a pure function.
Nothing here reads a clock, a file, a database or the environment, and nothing outside the standard
library is imported.
"""
