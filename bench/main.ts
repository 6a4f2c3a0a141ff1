/** `npm run bench`: the benchmark that `holdfast bench` is. Further measurements (peers) stand beside this file. */
import { benchCommand } from '../src/cli/commands/bench.ts';

await benchCommand().parseAsync(process.argv);
