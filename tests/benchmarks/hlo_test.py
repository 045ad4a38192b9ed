"""Operations are counted in the text of a module."""

from benchmarks import hlo

MODULE = """HloModule product

ENTRY %main (left: f32[2,3], right: f32[3,5]) -> f32[2,5] {
  %left = f32[2,3]{1,0} parameter(0)
  %size = s32[] constant(2)
  %some = f32[<=2,3]{1,0} set-dimension-size(f32[2,3]{1,0} %left, s32[] %size), dimensions={0}
  %right = f32[3,5]{1,0} parameter(1)
  ROOT %dot = f32[<=2,5]{1,0} dot(f32[<=2,3]{1,0} %some, f32[3,5]{1,0} %right), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""  # noqa: E501


def test_an_axis_of_bounded_length_counts_as_the_longest():
    assert hlo.operations(MODULE) == 2 * 2 * 3 * 5
