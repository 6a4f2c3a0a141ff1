import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

/**
 * Prints, after everything else, each skipped test with its reason and each failure that belongs to no single test,
 * and as the very last line `N passed, N failed, N skipped`.
 *
 * What counts as failed: tests; files that could not be loaded; suites whose hooks failed; errors that no test
 * caught; and checks that failed before the tests (HOLDFAST_FAILED_CHECKS, comma-separated, set by scripts/run.mjs).
 * Tests that a name filter (`-t`) left out count as nothing.
 */
export default class TotalsReporter implements Reporter {
  #filtered = false;

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.getGlobalTestNamePattern() !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const lines = [''];
    let passed = 0;
    let failed = 0;
    let skipped = 0;
    const fail = (line: string): void => {
      failed += 1;
      lines.push(`failed: ${line}`);
    };

    for (const module of modules) {
      if (module.errors().length > 0) fail(`${module.relativeModuleId} (the file itself)`);
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) fail(`${nameOf(module, suite.fullName)} (its setup or teardown)`);
      }
      for (const test of module.children.allTests()) {
        const name = nameOf(module, test.fullName);
        const result = test.result();
        if (result.state === 'passed') passed += 1;
        else if (result.state === 'failed') failed += 1;
        else if (result.state === 'pending') fail(`${name} (did not finish)`);
        else {
          const reason = reasonForSkipping(test, this.#filtered);
          if (reason === undefined) continue;
          skipped += 1;
          lines.push(`skipped: ${name}: ${reason}`);
        }
      }
    }
    for (const error of unhandledErrors) fail(`an error that no test caught: ${messageOf(error)}`);
    const failedChecks = process.env['HOLDFAST_FAILED_CHECKS']?.split(',') ?? [];
    for (const check of failedChecks.filter((name) => name !== '')) fail(`${check} (see above)`);

    lines.push(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.stdout.write(`${lines.join('\n')}\n`);
  }
}

/** Why a test was skipped; undefined where it was filtered out, or never began because its suite's setup failed. */
function reasonForSkipping(test: TestCase, filtered: boolean): string | undefined {
  const result = test.result();
  if (result.state === 'skipped' && result.note !== undefined) return result.note;
  if (test.options.mode === 'todo') return 'to do';
  if (test.options.mode === 'skip' && !filtered) return 'no reason given';
  return undefined;
}

function nameOf(module: TestModule, fullName: string): string {
  return `${module.relativeModuleId} > ${fullName}`;
}

function messageOf(error: unknown): string {
  const message = error instanceof Object && 'message' in error ? error.message : error;
  return String(message).split('\n', 1)[0] ?? '';
}
