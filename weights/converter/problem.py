# What stops a conversion: one sentence for the user.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

SHOWN = 4


class Problem(Exception):
    pass


def some(names):
    """The first few of many names, for a message."""
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
