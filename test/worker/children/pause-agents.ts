import process from 'node:process';
import { pauseAgent } from './pause-agent.ts';

/** For `holdfast worker --agents`: the agent of the tests, with the journal that the environment names. */
export default pauseAgent({ say: () => undefined, wait: () => Promise.resolve(), journal: process.env['PAUSE_JOURNAL'] ?? '/dev/null' });
