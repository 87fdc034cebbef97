// What a client written against the generated types looks like: if the document changes shape, this stops compiling.
import type { components, paths } from "./target/api";

type Session = components["schemas"]["Session"];
type User = components["schemas"]["User"];
type Problem = components["schemas"]["Problem"];
type Registration = paths["/auth/register"]["post"]["requestBody"]["content"]["application/json"];
type Page = paths["/users"]["get"]["responses"]["200"]["content"]["application/json"];

export async function register(person: Registration): Promise<Session | Problem> {
  const answer = await fetch("/auth/register", { method: "POST", body: JSON.stringify(person) });
  return answer.json();
}

export function names(page: Page): string[] {
  return page.data.map((user: User) => `${user.firstName} ${user.lastName} (${user.role})`);
}

export function isAdmin(user: User): boolean {
  return user.role === "admin" && user.isActive && user.lastLogin !== undefined;
}
