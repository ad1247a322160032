"""The only home of Gammapy names that are private or differ between versions.

Gammapy may rename or move such names in any release. Each of them is used here and nowhere else,
and a contract test holds its signature and its behaviour: a change in Gammapy is then one red test
and one line to edit.

==============================  =================================================================
name                            why it is here
==============================  =================================================================
``ThetaSquaredTable``           new in Gammapy 2.1, outside of ``gammapy.makers.__all__``; the
                                function it replaces, ``make_theta_squared_table``, warns that it
                                is deprecated
`compound_region_to_regions`    of ``gammapy.utils``, which promises no stability
`source_names`                  the columns with the names of a source are private to a catalogue
==============================  =================================================================
"""

from gammapy.catalog import SourceCatalog
from gammapy.makers.utils import ThetaSquaredTable
from gammapy.utils.regions import compound_region_to_regions

__all__ = ["ThetaSquaredTable", "compound_region_to_regions", "source_names"]


def source_names(catalog: SourceCatalog, row: int) -> list[str]:
    """Return all names that a catalogue has for one of its sources.

    Parameters
    ----------
    catalog : `~gammapy.catalog.SourceCatalog`
        A catalogue of Gammapy.
    row : int
        The row of the source in the table of the catalogue.

    Returns
    -------
    names : list of str
        The name that Gammapy looks up first, then the others; none of them is empty.
    """
    names = [str(catalog.table[catalog._source_name_key][row])]
    for column in catalog._source_name_alias:
        names.extend(str(catalog.table[column][row]).split(","))
    return [name.strip() for name in names if name.strip()]
