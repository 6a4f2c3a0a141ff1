// Fails every call of every scenario on the store of a URL, once in each way, and leaves the judgement to the tests.
//
//   node scripts/simulation-coverage/run-failpoints.ts <store URL>
import process from 'node:process';
import { runFailpoints } from '../../src/testing/failpoints/run-failpoints.ts';

const [store = 'sqlite::memory:'] = process.argv.slice(2);
await runFailpoints({ store, onScenario: ({ scenario, runs, failures }) => void process.stderr.write(`${scenario}: ${runs} runs, ${failures.length} failed\n`) });
