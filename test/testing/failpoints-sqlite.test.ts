import { afterAll, beforeAll, describe } from 'vitest';
import { SimulatedDatabase } from '../../src/testing/simulation/simulated-database.ts';
import { failpointSuite } from '../support/failpoint-suite.ts';

describe('on SQLite, wherever a call of the store fails', () => {
  let database: SimulatedDatabase;
  beforeAll(async () => { database = await SimulatedDatabase.open(); });
  afterAll(() => database.close());
  failpointSuite(() => database);
});
