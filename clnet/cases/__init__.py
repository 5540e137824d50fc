"""The op table: for each op its function, the same in float64 NumPy, and the shapes to try it on; a file a family.

There is no backward in NumPy: who checks gradients differences `reference` centrally. Tests, the memory checker and
the comparison of runtimes all walk this table.
"""

from clnet.cases import attention, elementwise, pictures, products, recurrent, reductions, shapes
from clnet.cases.case import Case, tolerance

__all__ = ["CASES", "Case", "tolerance"]

CASES: tuple[Case, ...] = (
    *elementwise.rows(),
    *reductions.rows(),
    *products.rows(),
    *shapes.rows(),
    *pictures.rows(),
    *recurrent.rows(),
    *attention.rows(),
)
