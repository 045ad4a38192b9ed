// The inputs of a request to the signature `generate`.
import { filled } from "./pictures.js";

const DRAWS = ["num_samples", "seed", "temperature"];

// Whether values and masks of these modalities are all that the signature takes: conditions and
// covariates have no mask, and have to be given.
export function takesOnly(names, inputs) {
  const expected = [...names.flatMap((name) => [name, `${name}_mask`]), ...DRAWS];
  return names.length > 0 && [...new Set([...expected, ...Object.keys(inputs)])].every(
    (key) => key in inputs && expected.includes(key),
  );
}

// A mask is one number, or one for each member of a group or each element of a table.
export function maskOf(description, name, given) {
  const field = description.signatures?.generate?.inputs?.[`${name}_mask`];
  return filled(field?.shape.slice(1) ?? [], given ? 1 : 0);
}
