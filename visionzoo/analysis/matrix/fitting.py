"""TODO"""
def refusal(cell):
    return ""
