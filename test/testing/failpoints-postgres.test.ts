import { afterAll, beforeAll, describe } from 'vitest';
import { PostgresSharedDatabase } from '../../src/testing/failpoints/postgres-shared-database.ts';
import { uniqueSchema } from '../support/postgres-database.ts';
import { failpointSuite } from '../support/failpoint-suite.ts';
import { seedOf } from '../support/seed.ts';

/** Each run takes one share of all points; `FAILPOINT_SHARES=1` takes all of them (some minutes). */
const shares = Number(process.env['FAILPOINT_SHARES'] ?? 6);

describe('on Postgres, wherever a call of the store fails', () => {
  let database: PostgresSharedDatabase;
  beforeAll(async () => {
    const { url, schema } = await uniqueSchema();
    database = await PostgresSharedDatabase.open({ connection: url, schema });
  });
  afterAll(() => database.close());
  failpointSuite(() => database, { of: shares, part: seedOf('failpoints on Postgres') % shares });
});
