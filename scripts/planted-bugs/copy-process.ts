import { spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';

/** A program in the copy that says nothing for so long does not end. */
const silenceMsMax = 180_000;

/** Runs a program in a copy of the source and gives each line that it prints, until it ends or nobody asks for more; then it is ended. Throws where it ends with an error of its own, or is silent for too long. */
export async function* linesOf(folder: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}, failsWith: readonly number[] = []): AsyncGenerator<string, void, void> {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
  const exited = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('exit', resolve));
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints = (complaints + text).slice(-4_000)));
  let isSilent = false;
  const silent = (): void => {
    isSilent = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(silent, silenceMsMax);
  let last = 'nothing';
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      clearTimeout(timer);
      timer = setTimeout(silent, silenceMsMax);
      last = line.slice(0, 200);
      yield line;
    }
    const code = await exited;
    if (isSilent) throw new Error(`silent for ${silenceMsMax} ms after ${last}`);
    if (code !== 0 && !failsWith.includes(code ?? -1)) throw new Error(`it ends with ${String(code)} after ${last}: ${complaints}`);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}
