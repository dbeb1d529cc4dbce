"""Published adult norms that the mean head's proportions are held to.

Means are for young North American white women and men, rounded to the nearest half millimeter or degree,
with a standard deviation rounded up. Sources: L. G. Farkas (ed.), Anthropometry of the Head and Face, 2nd
ed., Raven Press 1994, appendix A; and L. G. Farkas, M. J. Katic, C. R. Forrest et al., "International
anthropometric study of facial morphology in various ethnic groups/races", Journal of Craniofacial Surgery
16(4), 2005, 615-646. One mean head cannot stand for every group; these are the tables against which others
are usually compared.
"""

from __future__ import annotations

from dataclasses import dataclass

FARKAS_1994 = "Farkas 1994"
FARKAS_2005 = "Farkas et al. 2005"


@dataclass(frozen=True)
class Norm:
    """A measurement's published means (mm, or degrees for angles) and standard deviation."""

    women: float
    men: float
    sd: float
    source: str

    @property
    def range(self) -> tuple[float, float]:
        """From two standard deviations under the lower mean to two over the higher one."""
        low, high = sorted((self.women, self.men))
        return low - 2 * self.sd, high + 2 * self.sd


NORMS: dict[str, Norm] = {
    "head length g-op": Norm(187.5, 197.0, 7.0, FARKAS_1994),
    "head width eu-eu": Norm(144.0, 151.0, 6.0, FARKAS_1994),
    "face width zy-zy": Norm(130.0, 137.0, 5.0, FARKAS_2005),
    "jaw width go-go": Norm(91.0, 97.0, 6.0, FARKAS_2005),
    "face height n-gn": Norm(111.5, 124.5, 5.5, FARKAS_1994),
    "nose height n-sn": Norm(50.5, 55.0, 3.5, FARKAS_1994),
    "lower face height sn-gn": Norm(64.5, 72.5, 4.5, FARKAS_1994),
    "intercanthal width en-en": Norm(32.0, 33.5, 2.5, FARKAS_2005),
    "biocular width ex-ex": Norm(88.0, 91.0, 3.5, FARKAS_2005),
    "palpebral fissure length ex-en": Norm(30.5, 31.5, 1.5, FARKAS_2005),
    "palpebral fissure height ps-pi": Norm(11.0, 11.0, 1.5, FARKAS_1994),
    "nose width al-al": Norm(31.5, 35.0, 2.5, FARKAS_2005),
    "nose protrusion sn-prn": Norm(19.5, 19.5, 2.0, FARKAS_1994),
    "mouth width ch-ch": Norm(50.0, 54.5, 3.5, FARKAS_2005),
    "upper lip height sn-sto": Norm(20.0, 22.5, 2.5, FARKAS_1994),
    "upper vermilion height ls-sto": Norm(8.5, 8.0, 1.5, FARKAS_1994),
    "lower vermilion height sto-li": Norm(9.5, 9.5, 1.5, FARKAS_1994),
    "ear length sa-sba": Norm(59.0, 62.5, 4.0, FARKAS_1994),
    "ear width pra-pa": Norm(33.5, 35.5, 2.5, FARKAS_1994),
    "nasolabial angle": Norm(104.0, 100.0, 12.0, FARKAS_1994),
    "nasofrontal angle": Norm(134.5, 130.5, 7.5, FARKAS_1994),
}
