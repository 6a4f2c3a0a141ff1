import { Command, InvalidArgumentError, Option } from 'commander';
import type { JsonValue } from '../core/json.ts';

/** What every command takes. */
export interface CommonOptions {
  readonly store: string;
  /** One JSON value, or one a line, on stdout and nothing else there. */
  readonly json?: true;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
}

/** Where sessions are kept, unless it is said. */
export const storeDefault = 'sqlite:holdfast.db';

/** A command with the options that every command has. */
export function storeCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(new Option('--store <url>', 'where sessions are kept: sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE with ?schema=NAME (default: holdfast)').default(storeDefault).env('HOLDFAST_STORE'))
    .option('--json', 'machine-readable output on stdout');
}

/** Adds `--host` and `--port`. */
export function withListenOptions(command: Command): Command {
  return command
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on; 0 takes a free one', wholeNumber(0, 65_535), 4983);
}

export interface ConnectionOptions {
  readonly connections?: number;
}

/** Adds `--connections`. */
export function withConnectionOptions(command: Command): Command {
  return command.option('--connections <count>', 'at most so many connections to Postgres (default: 10)', wholeNumber(3, 1_000));
}

/** Parses an option that is a whole number in these bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < least || number > most) throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    return number;
  };
}

/** Parses an option that is JSON. */
export function jsonValue(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw new InvalidArgumentError(`It must be JSON, as '{"amount": 5}' or '"text"': ${error instanceof Error ? error.message : String(error)}.`);
  }
}
