import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { compactionRequestHead } from '../agent/compaction-text.ts';

/** How much of a line the summary keeps, and how many lines. */
const lineCharsMax = 120;
const linesMax = 40;

/** What the demo model answers to a request for a summary: the beginnings of what was said and done, the latest last. null: the prompt is no such request. */
export function demoSummary(prompt: LanguageModelV4Prompt): string | null {
  const last = prompt.at(-1);
  const request = last?.role === 'user' ? last.content.map((part) => (part.type === 'text' ? part.text : '')).join('\n') : '';
  if (!request.startsWith(compactionRequestHead)) return null;
  const earlier = /<summary>\n(.*?)\n<\/summary>/s.exec(request)?.[1]?.split('\n') ?? [];
  const said = /<conversation>\n(.*)\n<\/conversation>/s.exec(request)?.[1]?.split('\n') ?? [];
  const lines = [...earlier.filter((line) => line.startsWith('- ')), ...said.filter((line) => line.trim() !== '').map((line) => `- ${shortened(line)}`)];
  return ['So far:', ...lines.slice(-linesMax)].join('\n');
}

function shortened(line: string): string {
  return line.length <= lineCharsMax ? line : `${line.slice(0, lineCharsMax)}…`.toWellFormed();
}
