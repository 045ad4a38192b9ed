"""The categories that the time of a training step is assigned to."""

TEXT = """HloModule step

%fused (one: f32[8,4]) -> f32[8,4] {
  %one = f32[8,4]{1,0} parameter(0)
  ROOT %twice = f32[8,4]{1,0} add(%one, %one)
}

ENTRY %main (x: f32[2,8], w: f32[8,4]) -> (f32[2,4], f32[8,4]) {
  %x = f32[2,8]{1,0} parameter(0)
  %w = f32[8,4]{1,0} parameter(1)
  %copy.1 = f32[8,4]{1,0} copy(%w)
  %MatMul.1 = f32[2,4]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_type="MatMul" op_name="dense/MatMul"}
  %update = f32[8,4]{1,0} fusion(%copy.1), kind=kLoop, calls=%fused, metadata={op_name="adam_1/AssignAdd"}
  %other = f32[8,4]{1,0} fusion(%update), kind=kLoop, calls=%fused, metadata={op_name="adam/x"}
  ROOT %tuple = (f32[2,4]{1,0}, f32[8,4]{1,0}) tuple(%MatMul.1, %other)
}
"""  # noqa: E501


def test_instructions_are_counted_by_what_they_do(scripts):
    import hlo
    from step_profile import Spent, spent

    seconds = {"copy.1": 1.0, "MatMul.1": 2.0, "update": 4.0, "train_step": 9.0}
    assert spent(hlo.written(TEXT), seconds, "adam_1") == {
        "matrix products and convolutions": Spent(
            1, 2.0, 2 * 2 * 8 * 4, 4 * (2 * 8 + 8 * 4 + 2 * 4)
        ),
        "optimizer": Spent(1, 4.0, 0, 4 * 2 * 8 * 4),
        "copies of weights": Spent(1, 1.0, 0, 4 * 2 * 8 * 4),
        "everything else": Spent(1, 0.0, 0, 4 * 2 * 8 * 4),
    }


def test_operations_are_counted_by_what_they_do(scripts):
    from step_profile import Spent, spent_by_operations

    seconds = {
        "net/conv/Conv2D:_MklNativeConv2D": 1.0,
        "net/dense/MatMul:MatMul": 2.0,
        "train/adam/Mul_3:Mul": 4.0,
        "gradient_tape/Mul:Mul": 8.0,
        "EagerExecute: __inference_train_step_9": 16.0,
        "ExecutorState::Process": 16.0,
        "train_step": 32.0,
    }
    assert spent_by_operations(seconds, "adam") == {
        "matrix products and convolutions": Spent(2, 3.0, None, None),
        "optimizer": Spent(1, 4.0, None, None),
        "everything else": Spent(1, 8.0, None, None),
    }
