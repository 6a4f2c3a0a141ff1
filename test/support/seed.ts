/**
 * The seed of a random test, printed so that a failure can be had again: `HOLDFAST_SEED=… npm run vitest -- …`. Another one each time otherwise.
 */
export function seedOf(test: string): number {
  const given = process.env['HOLDFAST_SEED'];
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  console.log(`seed of "${test}": HOLDFAST_SEED=${seed}`);
  return seed;
}
