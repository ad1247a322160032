"""What came out, and may it be published? Products in, one self-contained HTML page out.

=================  ====================================================================
`render`           the page: findings, cards, sections, terms of the data, provenance
`Section`          a titled part of the page: text, a table, a figure with its caption
`data_terms`       the data sets behind event headers, with what they ask for
`DataTerms`        an acknowledgement and a licence, and whether publication is allowed
`HEADER_KEYS`      the header keys that data sets are recognised by
=================  ====================================================================

The page loads nothing: images and styles are part of it, and a content security policy forbids the
rest. All text is escaped. The same input gives the same bytes.
"""

from ctao_sat.report.page import Section, render
from ctao_sat.report.terms import HEADER_KEYS, DataTerms, data_terms

__all__ = ["HEADER_KEYS", "DataTerms", "Section", "data_terms", "render"]
