/* The limit: Q-learning on a table of transitions as one plain C loop, nothing else.
 *
 *   gcc -O3 -march=native -o q_learning q_learning.c && ./q_learning TABLE STEPS
 *
 * TABLE is text: "S A K start limit", then for each (s, a, k): cumulative probability, next state, reward,
 * terminated. Constant step size 0.1, epsilon 0.1, gamma 0.95, as in the library's run beside it. It takes the
 * first best action where the library breaks ties at random, and keeps no record of episodes. Prints ns a step.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct { double reward; int32_t next; uint32_t threshold; int32_t terminated; } Outcome;
typedef struct { uint64_t a, b; } Stream; /* xoroshiro128+ (Blackman and Vigna) */

static inline uint64_t rotated(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t draw(Stream *s) {
  uint64_t a = s->a, b = s->b, out = a + b;
  b ^= a;
  s->a = rotated(a, 24) ^ b ^ (b << 16);
  s->b = rotated(b, 37);
  return out;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int count, char **argument) {
  if (count != 3) return 2;
  FILE *file = fopen(argument[1], "r");
  long steps = atol(argument[2]);
  int S, A, K, start, limit;
  if (!file || fscanf(file, "%d %d %d %d %d", &S, &A, &K, &start, &limit) != 5) return 2;
  Outcome *table = malloc(sizeof(Outcome) * S * A * K);
  for (int i = 0; i < S * A * K; i++) {
    double p;
    int next, terminated;
    if (fscanf(file, "%lf %d %lf %d", &p, &next, &table[i].reward, &terminated) != 4) return 2;
    table[i].next = next;
    table[i].terminated = terminated;
    table[i].threshold = (uint32_t)(p * 4294967295.0);
  }
  double *q = calloc((size_t)S * A, sizeof(double));
  const double alpha = 0.1, gamma = 0.95;
  const uint32_t epsilon = (uint32_t)(0.1 * 4294967295.0);
  Stream stream = {0x12345, 0x9876543};
  long episodes = 0;
  int s = start, t = 0;
  double begun = seconds();
  for (long i = 0; i < steps; i++) {
    uint64_t bits = draw(&stream);
    double *row = q + s * A;
    int a = 0;
    if ((uint32_t)(bits >> 32) < epsilon) {
      a = (int)(((bits & 0xffffffff) * A) >> 32);
    } else {
      double best = row[0];
      for (int j = 1; j < A; j++)
        if (row[j] > best) { best = row[j]; a = j; }
    }
    uint32_t u = (uint32_t)(draw(&stream) >> 32);
    Outcome *o = table + (s * A + a) * K;
    int k = 0;
    while (k < K - 1 && u > o[k].threshold) k++;
    o += k;
    double *next = q + o->next * A, best = next[0];
    for (int j = 1; j < A; j++) best = next[j] > best ? next[j] : best;
    double target = o->reward + (o->terminated ? 0 : gamma * best);
    row[a] += alpha * (target - row[a]);
    if (o->terminated || ++t >= limit) { s = start; t = 0; episodes++; }
    else s = o->next;
  }
  double elapsed = seconds() - begun;
  printf("%.4f %ld %.6f\n", 1e9 * elapsed / steps, episodes, q[start * A]);
  return 0;
}
