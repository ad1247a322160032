"""x"""
def reoptimized_columns(*a):
    raise NotImplementedError
