import type { CallToolResult } from '@ai-sdk/mcp';
import type { LanguageModelV4ToolResultOutput } from '@ai-sdk/provider';
import { HoldfastError } from '../core/errors.ts';

type Part = Readonly<Record<string, unknown>> & { readonly type: string };

/**
 * What a tool of a server returned, as a tool of Holdfast returns it: the structured content if there is any, the text if there is only text, else the list of content. Bytes
 * in that list (images, audio, files) that are more than the result may hold are described instead: their beginning and end would tell a model nothing. Throws
 * `HoldfastError` with code `mcp_tool_failed` and the server's text where the server says that the call failed.
 */
export function mcpResult(result: CallToolResult, bytesMax: number): unknown {
  if ('toolResult' in result) return result.toolResult;
  const content = result.content as readonly Part[];
  if (result.isError === true) throw new HoldfastError('mcp_tool_failed', textOf(content) || 'the tool failed and did not say why');
  if (result.structuredContent !== undefined) return result.structuredContent;
  if (content.every((part) => part.type === 'text')) return textOf(content);
  return content.map((part) => boundPart(part, bytesMax));
}

function textOf(content: readonly Part[]): string {
  return content.flatMap(({ text }) => (typeof text === 'string' ? [text] : [])).join('\n');
}

function boundPart(part: Part, bytesMax: number): Part {
  const { resource } = part;
  if (isObject(resource)) return { ...part, resource: boundMember(resource, 'blob', bytesMax) };
  return boundMember(part, 'data', bytesMax);
}

function boundMember<Holder extends Readonly<Record<string, unknown>>>(holder: Holder, member: 'data' | 'blob', bytesMax: number): Holder {
  const { [member]: base64, ...rest } = holder;
  if (typeof base64 !== 'string' || base64.length <= bytesMax) return holder;
  return { ...rest, note: `${Math.floor((base64.length * 3) / 4)} bytes, left out: a result may have ${bytesMax}` } as unknown as Holder;
}

/** How a model is shown a list of content in which there are images or sound: as these, not as base64. undefined for every other result, which is shown as it is. */
export function modelOutput(output: unknown): LanguageModelV4ToolResultOutput | undefined {
  if (!Array.isArray(output) || !output.some(isMedia)) return undefined;
  return {
    type: 'content',
    value: output.map((part: unknown) => {
      if (isMedia(part)) return { type: 'file', mediaType: part.mimeType, data: { type: 'data', data: part.data } };
      return { type: 'text', text: isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : JSON.stringify(part) };
    }),
  };
}

function isMedia(part: unknown): part is { readonly mimeType: string; readonly data: string } {
  return isObject(part) && (part['type'] === 'image' || part['type'] === 'audio') && typeof part['mimeType'] === 'string' && typeof part['data'] === 'string';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
