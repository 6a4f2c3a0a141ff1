import fc from 'fast-check';
import pg from 'pg';
import { expect, it } from 'vitest';
import { arrayLiteral } from '../../src/store/postgres/array-literal.ts';
import { sharedPostgresUrl } from '../support/postgres-url.ts';
import { seedOf } from '../support/seed.ts';

it('an array as text is the array that was meant, whatever its texts hold', async () => {
  const client = new pg.Client({ connectionString: await sharedPostgresUrl() });
  await client.connect();
  try {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', 'NULL', 'null', '{}', '{a,b}', ',', '"', '\\', '\\"', ' a ', '\n\t', '{"a":"\\"b\\\\"}')).map((each) => each.toWellFormed().replaceAll('\0', ''));
    await fc.assert(fc.asyncProperty(fc.array(fc.option(text), { maxLength: 20 }), fc.array(fc.option(fc.maxSafeInteger()), { maxLength: 20 }), fc.array(fc.option(fc.boolean()), { maxLength: 20 }), async (texts, numbers, truths) => {
      const { rows: [row] } = await client.query('SELECT $1::text[] AS texts, $2::bigint[] AS numbers, $3::boolean[] AS truths', [texts, numbers, truths].map((each) => arrayLiteral(each)));
      expect(row).toEqual({ texts, numbers: numbers.map((number) => (number === null ? null : String(number))), truths });
    }), { seed: seedOf('arrays as text'), numRuns: 300 });
  } finally {
    await client.end();
  }
});
