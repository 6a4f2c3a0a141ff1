import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { onTestFinished } from 'vitest';

const root = path.dirname(path.dirname(import.meta.dirname));

export interface CliOptions {
  /** The working folder: where `holdfast.db` lies. */
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node itself. */
  readonly nodeOptions?: readonly string[];
  readonly input?: string;
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line that runs, as a child process of its own. */
export interface RunningCli {
  readonly process: ChildProcess;
  /** Resolves when the process has ended and all that it wrote is read. */
  readonly ended: Promise<CliResult>;
  /** Resolves with the first match in what it has written to stdout so far and from now on; rejects when it ends without one. */
  stdoutHas(pattern: RegExp): Promise<RegExpExecArray>;
  stderrHas(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts the real command line; it is killed when the test ends, if it still runs. */
export function startCli(args: readonly string[], { cwd, env = {}, nodeOptions = [], input }: CliOptions): RunningCli {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')));
  const child = spawn(process.execPath, [...nodeOptions, path.join(root, 'src/cli/main.ts'), ...args], { cwd, env: { ...inherited, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const written = { stdout: '', stderr: '' };
  child.stdin.on('error', () => undefined); // it may end without reading
  child.stdin.end(input ?? '');
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (text: string) => {
      written[name] += text;
    });
  }
  const ended = once(child, 'close').then(([code]): CliResult => ({ code: code as number | null, ...written }));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const has = (name: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> => new Promise((resolve, reject) => {
    const look = (): void => {
      const match = pattern.exec(written[name]);
      if (match !== null) resolve(match);
    };
    child[name].on('data', look);
    void ended.then(() => reject(new Error(`it ended without ${String(pattern)} on ${name}; stdout: ${written.stdout}; stderr: ${written.stderr}`)));
    look();
  });
  return { process: child, ended, stdoutHas: (pattern) => has('stdout', pattern), stderrHas: (pattern) => has('stderr', pattern) };
}

/** Runs the real command line to its end. */
export function runCli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return startCli(args, options).ended;
}

/** {@link runCli} of a command that succeeds and prints JSON: its lines, parsed. */
export async function runCliJson(args: readonly string[], options: CliOptions): Promise<readonly never[]> {
  const { code, stdout, stderr } = await runCli([...args, '--json'], options);
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} exited with ${String(code)}: ${stderr}`);
  return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as never);
}
