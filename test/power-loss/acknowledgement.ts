/** A command that was done, or a turn that was seen to have ended: a request and its reply, as a client got it. */
export interface Acknowledgement {
  readonly method: string;
  readonly path: string;
  readonly body: object | null;
  /** The request's `Idempotency-Key`. */
  readonly key: string;
  readonly status: number;
  readonly text: string;
}

/** The file beside the database to which a process writes a line for each acknowledgement as soon as it has it: where that comes in the recording says what had been promised when. */
export const acknowledgedFile = 'acknowledged';

export type SendRequest = (request: Pick<Acknowledgement, 'method' | 'path' | 'body' | 'key'>) => Promise<Response>;

/** Sends a request to a Holdfast in this process. */
export function requestTo(fetch: (request: Request) => Promise<Response>): SendRequest {
  return ({ method, path, body, key }) => fetch(new Request(`http://127.0.0.1${path}`, {
    method,
    headers: { ...(method === 'GET' ? {} : { 'idempotency-key': key }), ...(body === null ? {} : { 'content-type': 'application/json' }) },
    ...(body === null ? {} : { body: JSON.stringify(body) }),
  }));
}
