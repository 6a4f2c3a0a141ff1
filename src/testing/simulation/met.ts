import type { FaultKind, Weather } from './plan.ts';

/** What a run really met, so that a fault that never happens and a command that never fits are seen. */
export class Met {
  /** Requests sent, and calls of the store. */
  operations = 0;
  crashes = 0;
  /** Processes that ran the previous version. */
  previousVersions = 0;
  readonly faults: Partial<Record<FaultKind, number>> = {};
  readonly weathers: Partial<Record<keyof Weather, number>> = {};
  /** Commands by kind: how many had something to be about, and how many of these were done. */
  readonly commands: Record<string, { sent: number; done: number }> = {};
  /** How often each tool began to run. */
  readonly tools: Record<string, number> = {};

  /** Adds what another run met. */
  add({ operations, crashes, previousVersions, faults, weathers, commands, tools }: Pick<Met, 'operations' | 'crashes' | 'previousVersions' | 'faults' | 'weathers' | 'commands' | 'tools'>): void {
    this.operations += operations;
    this.crashes += crashes;
    this.previousVersions += previousVersions;
    for (const [kind, count] of Object.entries(faults) as [FaultKind, number][]) this.faults[kind] = (this.faults[kind] ?? 0) + count;
    for (const [kind, count] of Object.entries(weathers) as [keyof Weather, number][]) this.weathers[kind] = (this.weathers[kind] ?? 0) + count;
    for (const [name, count] of Object.entries(tools)) this.tools[name] = (this.tools[name] ?? 0) + count;
    for (const [kind, { sent, done }] of Object.entries(commands)) {
      const known = this.commands[kind] ?? { sent: 0, done: 0 };
      this.commands[kind] = { sent: known.sent + sent, done: known.done + done };
    }
  }

  crash(): void {
    this.crashes += 1;
  }

  fault(kind: FaultKind): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
  }

  weather(kind: keyof Weather): void {
    this.weathers[kind] = (this.weathers[kind] ?? 0) + 1;
  }

  tool(name: string): void {
    this.tools[name] = (this.tools[name] ?? 0) + 1;
  }

  command(kind: string, isDone: boolean): void {
    const { sent, done } = this.commands[kind] ?? { sent: 0, done: 0 };
    this.commands[kind] = { sent: sent + 1, done: done + (isDone ? 1 : 0) };
  }
}
