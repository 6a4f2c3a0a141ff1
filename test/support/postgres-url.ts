/** The environment variable with the address that says the url of the run's server, and starts it if nobody asked before. */
export const brokerVariable = 'HOLDFAST_TEST_POSTGRES';

let shared: Promise<string> | undefined;

/**
 * The url of the run's server: DATABASE_URL, or that of the one server which all tests of a run share. For tests and for processes that they start
 * with their environment. When it rejects, every later call in this process does: the server would not start the second time either.
 */
export function sharedPostgresUrl(): Promise<string> {
  shared ??= findUrl();
  return shared;
}

/** DATABASE_URL; undefined when it is unset or empty. */
export function givenPostgresUrl(): string | undefined {
  const given = process.env['DATABASE_URL'];
  return given === '' ? undefined : given;
}

async function findUrl(): Promise<string> {
  const given = givenPostgresUrl();
  if (given !== undefined) return given;
  const broker = process.env[brokerVariable];
  if (broker === undefined) throw new Error(`no Postgres server: neither DATABASE_URL nor ${brokerVariable} is set; run the test by \`npm run -s vitest\`, whose global setup sets the latter`);
  const response = await fetch(broker);
  const text = await response.text();
  if (!response.ok) throw new Error(`the run's Postgres server did not start: ${text}`);
  return text;
}
